"""Clients for the tests of those who use Paddlewheel: the real interface, no server, no worker, no thread.

    from paddlewheel import RECOGNIZE_TEXT, RecognizedText
    from paddlewheel.in_memory import InMemoryClient

    client = InMemoryClient({RECOGNIZE_TEXT: lambda request: RecognizedText(rec_text="A 1", rec_score=0.9)})
    pending = client.enqueue(RECOGNIZE_TEXT, b"the bytes of an image")
    assert pending.result(timeout=1).rec_text == "A 1"

A handler gets the checked request and returns the result; a typed error that it raises reaches the caller,
any other one as InternalError. Tasks run as they are enqueued. Within `with client.paused():` they wait in
the queue, to be cancelled, overtaken or to miss their deadline; `advance` lets time pass.
"""

import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from paddlewheel.async_client import (
    DEFAULT_BLOB_TTL,
    DEFAULT_MAX_BLOB_BYTES,
    DEFAULT_RECORD_TTL,
    AsyncClient,
)
from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.blobs.upload import upload_image, upload_images, upload_missing
from paddlewheel.client import Client, Pending
from paddlewheel.contracts.base import ImageRef, Priority, Request, TaskSpec
from paddlewheel.errors import CallerError, ResultTimeout, TaskNotFound
from paddlewheel.pending import AsyncPending
from paddlewheel.sources.images import ImageSource
from paddlewheel.wire.in_memory import Handlers, InMemoryBroker
from paddlewheel.wire.messages import TaskMessage
from paddlewheel.wire.result_store import TaskRecord
from paddlewheel.wire.waiting import ResultReader

__all__ = ["AsyncInMemoryClient", "Handlers", "InMemoryClient"]

RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)
T = TypeVar("T")


class AsyncInMemoryClient(AsyncClient):
    """An AsyncClient over handlers in this process. `blob_ttl` and `record_ttl` are seconds."""

    def __init__(
        self,
        handlers: Handlers,
        *,
        blob_ttl: float = DEFAULT_BLOB_TTL,
        record_ttl: float = DEFAULT_RECORD_TTL,
        max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES,
    ) -> None:
        self._ahead = 0.0
        self.blobs = MemoryBlobStore(ttl=blob_ttl, max_bytes=max_blob_bytes, now=self._now)
        self.broker = InMemoryBroker(handlers, load=self.blobs.get, record_ttl=record_ttl, now=self._now)
        self.reader = _Outcomes(self.broker)

    def paused(self) -> AbstractContextManager[None]:
        """Let tasks wait in the queue for as long as the block lasts."""
        return self.broker.paused()

    def advance(self, seconds: float) -> None:
        """Let time pass: blobs and results expire, waiting tasks miss their deadlines."""
        self._ahead += seconds

    @property
    def waiting(self) -> int:
        """How many tasks wait in the queue."""
        return self.broker.waiting

    def load(self, image: ImageRef) -> bytes:
        """The stored bytes, for a handler that looks at them. Raises BlobNotFound, BlobExpired."""
        return self.blobs.get(image)

    async def close(self) -> None:
        """Nothing is held open."""

    async def put(self, image: ImageSource, *, name: str | None = None) -> ImageRef:
        """Store one image."""
        return upload_image(self.blobs, image, name)

    async def put_many(self, images: Iterable[ImageSource]) -> list[ImageRef]:
        """Store many; lists and folders are expanded."""
        return upload_images(self.blobs, images)

    async def enqueue(
        self,
        spec: TaskSpec[RequestT, ResultT],
        image: ImageSource | ImageRef | RequestT,
        *,
        priority: Priority = "interactive",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> AsyncPending[ResultT]:
        """Run one task, or let it wait while the client is paused."""
        settings: dict[str, Any] = {"priority": priority, "deadline": deadline}
        pending = await super().enqueue(spec, image, idempotency_key=idempotency_key, **settings, **options)
        return _at_once(pending)

    async def enqueue_many(
        self,
        spec: TaskSpec[RequestT, ResultT],
        images: Iterable[ImageSource | ImageRef | RequestT],
        *,
        priority: Priority = "bulk",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> list[AsyncPending[ResultT]]:
        """Run many tasks, or let them wait while the client is paused."""
        settings: dict[str, Any] = {"priority": priority, "deadline": deadline}
        pendings = await super().enqueue_many(
            spec, images, idempotency_key=idempotency_key, **settings, **options
        )
        return [_at_once(pending) for pending in pendings]

    def pending(self, spec: TaskSpec[Any, ResultT], task_id: str) -> AsyncPending[ResultT]:
        """A task that was enqueued earlier."""
        return _at_once(super().pending(spec, task_id))

    async def as_completed(
        self, pendings: Iterable[AsyncPending[ResultT]], timeout: float | None = None
    ) -> AsyncIterator[AsyncPending[ResultT]]:
        """Yield each pending that has its outcome. Raises ResultTimeout for those that are paused."""
        del timeout
        given = list(pendings)
        ready = [pending for pending in given if await pending.done()]
        for pending in ready:
            yield pending
        if len(ready) < len(given):
            raise ResultTimeout(f"{len(given) - len(ready)} tasks wait while this client is paused.")

    async def cancel(self, task_id: str) -> None:
        """Take a waiting task out of the queue."""
        self.broker.cancel(task_id)

    async def records(self, task_ids: Sequence[str]) -> list[TaskRecord | None]:
        """The record of each task; None of an unknown one."""
        return [self._known(task_id) for task_id in task_ids]

    async def _record(self, task_id: str) -> TaskRecord:
        return self.broker.record(task_id)

    def _known(self, task_id: str) -> TaskRecord | None:
        try:
            return self.broker.record(task_id)
        except TaskNotFound:
            return None

    async def _put_missing(
        self, images: Iterable[ImageSource | ImageRef | RequestT]
    ) -> "Sequence[ImageRef | RequestT | CallerError]":
        return upload_missing(self.blobs, images)

    async def publish(self, messages: Sequence[TaskMessage]) -> None:
        """Enqueue messages that were built elsewhere."""
        for message in messages:
            self.broker.publish(message)

    def _now(self) -> float:
        return time.time() + self._ahead


class InMemoryClient(Client):
    """A Client over handlers in this process. The arguments are those of AsyncInMemoryClient."""

    def __init__(
        self,
        handlers: Handlers,
        *,
        blob_ttl: float = DEFAULT_BLOB_TTL,
        record_ttl: float = DEFAULT_RECORD_TTL,
        max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES,
    ) -> None:
        self._memory = AsyncInMemoryClient(
            handlers, blob_ttl=blob_ttl, record_ttl=record_ttl, max_blob_bytes=max_blob_bytes
        )
        self._async = self._memory

    def paused(self) -> AbstractContextManager[None]:
        """Let tasks wait in the queue for as long as the block lasts."""
        return self._memory.paused()

    def advance(self, seconds: float) -> None:
        """Let time pass: blobs and results expire, waiting tasks miss their deadlines."""
        self._memory.advance(seconds)

    @property
    def waiting(self) -> int:
        """How many tasks wait in the queue."""
        return self._memory.waiting

    def load(self, image: ImageRef) -> bytes:
        """The stored bytes, for a handler that looks at them. Raises BlobNotFound, BlobExpired."""
        return self._memory.load(image)

    def close(self) -> None:
        """Nothing is held open."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something that never waits, so that no event loop is needed."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        work.close()
        raise RuntimeError("An in-memory client cannot wait.")

    def as_completed(
        self, pendings: Iterable[Pending[ResultT]], timeout: float | None = None
    ) -> Iterator[Pending[ResultT]]:
        """Yield each pending that has its outcome. Raises ResultTimeout for those that are paused."""
        del timeout
        given = list(pendings)
        ready = [pending for pending in given if pending.done()]
        yield from ready
        if len(ready) < len(given):
            raise ResultTimeout(f"{len(given) - len(ready)} tasks wait while this client is paused.")

    def as_async(self) -> AsyncClient:
        """The client for asyncio behind this one."""
        return self._async


class _Outcomes(ResultReader):
    """Reads outcomes where the broker in this process keeps them."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self._broker = broker

    async def wait(self, task_id: str) -> TaskRecord:
        return self._broker.outcome(task_id)


class _PendingAtOnce(AsyncPending[ResultT]):
    async def result(self, timeout: float | None = None) -> ResultT:
        del timeout
        return self.open(await self.reply.record())


def _at_once(pending: AsyncPending[ResultT]) -> AsyncPending[ResultT]:
    return _PendingAtOnce(pending._spec, pending.reply, image=pending._image, index=pending._index)
