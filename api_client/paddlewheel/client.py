"""The client for ordinary code: the asyncio client, driven by one background thread.

One implementation serves both, so that a sync caller too has one connection and one subscription however
many threads wait. The thread starts with the first call and is started again in a forked child.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel

from paddlewheel.async_client import DEFAULT_BLOB_TTL, DEFAULT_MAX_BLOB_BYTES, AsyncClient
from paddlewheel.blobs.upload import upload_image, upload_images
from paddlewheel.contracts.base import ImageRef, Priority, Request, TaskSpec
from paddlewheel.pending import AsyncPending
from paddlewheel.sources.images import ImageSource
from paddlewheel.wire.result_store import TaskStatus

RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)
T = TypeVar("T")


class Pending(Generic[ResultT]):
    """Wait for the typed result, or for the typed error."""

    def __init__(self, client: "Client", pending: AsyncPending[ResultT]) -> None:
        self._client = client
        self._pending = pending

    def __repr__(self) -> str:
        return repr(self._pending).replace("AsyncPending", "Pending")

    @property
    def task_id(self) -> str:
        """The task's id; items that travel in one message share it."""
        return self._pending.task_id

    @property
    def image(self) -> ImageRef:
        """The image that the task works on. Raises InvalidRequest where the client does not know of one."""
        return self._pending.image

    def result(self, timeout: float | None = None) -> ResultT:
        """The typed result. Raises the task's typed error, or ResultTimeout after `timeout` seconds."""
        return self._client.run(self._pending.result(timeout))

    def done(self) -> bool:
        """Whether `result` would answer at once."""
        return self._client.run(self._pending.done())

    def status(self) -> TaskStatus:
        """Where the task stands."""
        return self._client.run(self._pending.status())

    def cancel(self) -> None:
        """Ask the workers to drop the task, with every item that travels with it."""
        self._client.run(self._pending.cancel())


class Client:
    """Enqueues tasks and waits for their results; safe to share between threads.

    The arguments are those of AsyncClient. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        broker_url: str | None = None,
        *,
        result_url: str | None = None,
        blob_url: str | None = None,
        blob_ttl: float = DEFAULT_BLOB_TTL,
        max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES,
    ) -> None:
        self._make: Callable[[], AsyncClient] = lambda: AsyncClient(
            broker_url,
            result_url=result_url,
            blob_url=blob_url,
            blob_ttl=blob_ttl,
            max_blob_bytes=max_blob_bytes,
        )
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._async = self._make()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; tasks that were accepted continue."""
        if self._loop is None or self._thread is None or self._pid != os.getpid():
            self._async.blobs.close()
            return
        asyncio.run_coroutine_threadsafe(self._async.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the client's own loop."""
        future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def put(self, image: ImageSource, *, name: str | None = None) -> ImageRef:
        """Store one image; the reference may be used by any number of tasks until it expires."""
        return upload_image(self._async.blobs, image, name)

    def put_many(self, images: Iterable[ImageSource]) -> list[ImageRef]:
        """Store many; lists and folders are expanded, a folder's images in the order of their names."""
        return upload_images(self._async.blobs, images)

    def enqueue(
        self,
        spec: TaskSpec[RequestT, ResultT],
        image: ImageSource | ImageRef | RequestT,
        *,
        priority: Priority = "interactive",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Pending[ResultT]:
        """Enqueue one task. `options` are fields of the request, such as `model`.

        `deadline` is seconds from now: past it the task fails instead of reaching a model. Two calls with
        the same `idempotency_key` for the same task are one task.
        """
        pending = self.run(
            self.as_async().enqueue(
                spec,
                image,
                priority=priority,
                deadline=deadline,
                idempotency_key=idempotency_key,
                **options,
            )
        )
        return Pending(self, pending)

    def enqueue_many(
        self,
        spec: TaskSpec[RequestT, ResultT],
        images: Iterable[ImageSource | ImageRef | RequestT],
        *,
        priority: Priority = "bulk",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> list[Pending[ResultT]]:
        """Enqueue many in one pipeline to the broker; the pendings are in the order of the images.

        Where the task allows it, up to 16 items travel in one message: they are answered and cancelled
        together, and each has its own result or error. An image that cannot be read or stored stops no
        other: it is not sent, and its pending raises its error, such as UnsupportedSource.
        """
        pendings = self.run(
            self.as_async().enqueue_many(
                spec,
                images,
                priority=priority,
                deadline=deadline,
                idempotency_key=idempotency_key,
                **options,
            )
        )
        return [Pending(self, pending) for pending in pendings]

    def pending(self, spec: TaskSpec[Any, ResultT], task_id: str) -> Pending[ResultT]:
        """A task that was enqueued elsewhere or earlier."""
        return Pending(self, self.as_async().pending(spec, task_id))

    def as_completed(
        self, pendings: Iterable[Pending[ResultT]], timeout: float | None = None
    ) -> Iterator[Pending[ResultT]]:
        """Yield each pending once its outcome is here; its `result()` then answers at once."""
        mine = {id(pending._pending): pending for pending in pendings}
        arrived: queue.SimpleQueue[AsyncPending[ResultT] | BaseException | None] = queue.SimpleQueue()
        pump = asyncio.run_coroutine_threadsafe(
            self._pump([pending._pending for pending in mine.values()], timeout, arrived),
            self._running_loop(),
        )
        try:
            while (each := arrived.get()) is not None:
                if isinstance(each, BaseException):
                    raise each
                yield mine[id(each)]
        finally:
            pump.cancel()

    async def _pump(
        self,
        pendings: list[AsyncPending[ResultT]],
        timeout: float | None,
        arrived: "queue.SimpleQueue[AsyncPending[ResultT] | BaseException | None]",
    ) -> None:
        try:
            async for pending in self._async.as_completed(pendings, timeout):
                arrived.put(pending)
        except Exception as err:  # handed to the caller, who raises it
            arrived.put(err)
        finally:
            arrived.put(None)

    def status(self, task_id: str) -> TaskStatus:
        """Where a task stands. Raises TaskNotFound for an id that was never enqueued or has expired."""
        return self.run(self.as_async().status(task_id))

    def cancel(self, task_id: str) -> None:
        """Ask the workers to drop a task; its result is then TaskCancelled, unless it was faster."""
        self.run(self.as_async().cancel(task_id))

    def as_async(self) -> AsyncClient:
        """The client for asyncio behind this one; what it starts goes through `run`."""
        self._running_loop()
        return self._async

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._pid != os.getpid():
                self._open()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="paddlewheel-client", daemon=True
                )
                self._thread.start()
            return self._loop
