"""The client for asyncio: put an image, enqueue a task, await its typed result.

One connection pool publishes, one subscription waits for all results; no thread per waiter. The blob store
is called in asyncio's own small pool of threads.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Self, TypeVar, cast

from pydantic import BaseModel

from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.store import BlobStore
from paddlewheel.blobs.upload import require_many, upload_image, upload_images, upload_missing
from paddlewheel.contracts.base import ImageRef, Priority, Request, TaskSpec
from paddlewheel.contracts.image_tasks import BULK_SPECS
from paddlewheel.errors import CallerError, InvalidRequest, ResultTimeout, TaskNotFound
from paddlewheel.pending import AsyncPending, Reply
from paddlewheel.sources.images import ImageSource
from paddlewheel.wire.addresses import Addresses
from paddlewheel.wire.connection import broker_errors, connect, connect_once
from paddlewheel.wire.messages import WAKE_TOKENS, TaskMessage
from paddlewheel.wire.requests import build_request, make_id, make_message
from paddlewheel.wire.result_store import (
    CANCEL_CHANNEL,
    CANCELLED_KEY,
    RESULT_KEY,
    TaskRecord,
    TaskStatus,
    failed_record,
    queued_record,
)
from paddlewheel.wire.waiting import ResultReader

RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)

GROUP_SIZE: Final = 16
"""Items in one message of `enqueue_many`: a task costs about a millisecond whatever is in it."""

DEFAULT_BLOB_TTL: Final = 3600.0
DEFAULT_RECORD_TTL: Final = 6 * 3600
DEFAULT_MAX_BLOB_BYTES: Final = 32 * 1024 * 1024
_PIPELINE: Final = 200

# The record and the message appear together or not at all; a known id (an idempotency key) adds nothing.
_ACCEPT: Final = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
  redis.call('LPUSH', KEYS[2], ARGV[3])
  redis.call('LPUSH', KEYS[3], 1)
  redis.call('LTRIM', KEYS[3], 0, ARGV[4])
  return 1
end
return 0
"""


class AsyncClient:
    """Enqueues tasks and waits for their results.

    Addresses come from the arguments, else from PADDLEWHEEL_BROKER_URL, PADDLEWHEEL_RESULT_URL and
    PADDLEWHEEL_BLOB_URL, else from the servers that `make up` started in this checkout.
    `blob_ttl` is how many seconds an image is kept; it has to outlast the longest wait in the queue.
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
        self._addresses = Addresses.find(broker_url, result_url, blob_url)
        self.blobs: BlobStore = open_blob_store(self._addresses.blobs, ttl=blob_ttl, max_bytes=max_blob_bytes)
        self._broker = connect(self._addresses.broker)
        same = self._addresses.results == self._addresses.broker
        self._results = self._broker if same else connect(self._addresses.results)
        self._announcements = connect_once(self._addresses.results)
        self.reader = ResultReader(self._results, self._announcements)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; tasks that were accepted continue."""
        await self.reader.close()
        await self._announcements.aclose()
        await self._broker.aclose()
        if self._results is not self._broker:
            await self._results.aclose()
        await asyncio.to_thread(self.blobs.close)

    async def put(self, image: ImageSource, *, name: str | None = None) -> ImageRef:
        """Store one image; the reference may be used by any number of tasks until it expires."""
        return await asyncio.to_thread(upload_image, self.blobs, image, name)

    async def put_many(self, images: Iterable[ImageSource]) -> list[ImageRef]:
        """Store many; lists and folders are expanded, a folder's images in the order of their names."""
        return await asyncio.to_thread(upload_images, self.blobs, images)

    async def enqueue(
        self,
        spec: TaskSpec[RequestT, ResultT],
        image: "ImageSource | ImageRef | RequestT",
        *,
        priority: Priority = "interactive",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> AsyncPending[ResultT]:
        """Enqueue one task. `options` are fields of the request, such as `model`.

        `deadline` is seconds from now: past it the task fails instead of reaching a model. Two calls with
        the same `idempotency_key` for the same task are one task.
        """
        if not isinstance(image, (ImageRef, Request)):
            image = await self.put(image)
        request = build_request(spec, image, options)
        task_id = make_id(spec, idempotency_key)
        message = make_message(spec, task_id, request, priority, deadline)
        await self.publish([message])
        return AsyncPending(spec, Reply(self, task_id), image=getattr(request, "image", None))

    async def enqueue_many(
        self,
        spec: TaskSpec[RequestT, ResultT],
        images: "Iterable[ImageSource | ImageRef | RequestT]",
        *,
        priority: Priority = "bulk",
        deadline: float | timedelta | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> list[AsyncPending[ResultT]]:
        """Enqueue many in one pipeline to the broker; the pendings are in the order of the images.

        Where the task allows it, up to 16 items travel in one message: they are answered and cancelled
        together, and each has its own result or error. An image that cannot be read or stored stops no
        other: it is not sent, and its pending raises its error, such as UnsupportedSource.
        """
        require_many(images)
        requests = [_request_of(spec, image, options) for image in await self._put_missing(images)]
        bulk = BULK_SPECS.get(spec.name)
        size = GROUP_SIZE if bulk else 1
        pendings: list[AsyncPending[ResultT]] = []
        messages: list[TaskMessage] = []
        for start in range(0, len(requests), size):
            group = requests[start : start + size]
            sent = [each for each in group if not isinstance(each, CallerError)]
            if sent:
                carrier: TaskSpec[Any, Any] = bulk or spec
                request = bulk.request(items=tuple(sent)) if bulk else sent[0]
                task_id = make_id(carrier, _group_key(idempotency_key, start, group))
                messages.append(make_message(carrier, task_id, request, priority, deadline))
                reply = Reply(self, task_id)
            indices = itertools.count()
            for each in group:
                if isinstance(each, CallerError):
                    pendings.append(self._failed(spec, each))
                else:
                    image = getattr(each, "image", None)
                    index = next(indices) if bulk else None
                    pendings.append(AsyncPending(spec, reply, image=image, index=index))
        await self.publish(messages)
        return pendings

    def _failed(self, spec: TaskSpec[Any, ResultT], err: CallerError) -> AsyncPending[ResultT]:
        """The pending of an item that is never enqueued."""
        reply = Reply(self, make_id(spec, None))
        reply.settle(failed_record(reply.task_id, spec.name, err))
        return AsyncPending(spec, reply)

    def pending(self, spec: TaskSpec[Any, ResultT], task_id: str) -> AsyncPending[ResultT]:
        """A task that was enqueued elsewhere or earlier."""
        return AsyncPending(spec, Reply(self, task_id))

    async def as_completed(
        self, pendings: Iterable[AsyncPending[ResultT]], timeout: float | None = None
    ) -> AsyncIterator[AsyncPending[ResultT]]:
        """Yield each pending once its outcome is here; its `result()` then answers at once."""
        waiting: dict[str, list[AsyncPending[ResultT]]] = {}
        for pending in pendings:
            if pending.reply.settled:
                yield pending
            else:
                waiting.setdefault(pending.task_id, []).append(pending)
        futures = await self.reader.watch(waiting)
        try:
            for future in asyncio.as_completed(futures.values(), timeout=timeout):
                try:
                    record = await future
                except TimeoutError as err:
                    left = sum(len(group) for group in waiting.values())
                    raise ResultTimeout(f"{left} tasks had no result after {timeout:g} s.") from err
                for pending in waiting.pop(record.task_id):
                    pending.reply.settle(record)
                    yield pending
        finally:
            await self.reader.release(futures)

    async def status(self, task_id: str) -> TaskStatus:
        """Where a task stands. Raises TaskNotFound for an id that was never enqueued or has expired."""
        record = await self._record(task_id)
        return record.status()

    async def records(self, task_ids: Sequence[str]) -> list[TaskRecord | None]:
        """What the result store says of each task; None of one that it does not know."""
        if not task_ids:
            return []
        with broker_errors():
            found = await self._results.mget([RESULT_KEY.format(task_id) for task_id in task_ids])
        return [TaskRecord.parse(raw) if raw is not None else None for raw in found]

    async def cancel(self, task_id: str) -> None:
        """Ask the workers to drop a task; its result is then TaskCancelled, unless it was faster."""
        await self._record(task_id)
        with broker_errors():
            pipeline = self._results.pipeline(transaction=True)
            pipeline.set(CANCELLED_KEY.format(task_id), b"1", ex=DEFAULT_RECORD_TTL)
            pipeline.publish(CANCEL_CHANNEL, task_id)
            await pipeline.execute()

    def bind_picture(self, result: BaseModel, image: ImageRef | None) -> None:
        """Let a result fetch the picture it speaks of, should somebody ask for one."""
        bind = getattr(result, "bind_picture", None)
        if bind is not None and image is not None:
            bind(lambda: self.blobs.get(image))

    async def _record(self, task_id: str) -> TaskRecord:
        with broker_errors():
            raw = await self._results.get(RESULT_KEY.format(task_id))
        if raw is None:
            raise TaskNotFound(
                f"No task {task_id} is known: it was never enqueued, or its result has expired."
            )
        return TaskRecord.parse(raw)

    async def _put_missing(
        self, images: "Iterable[ImageSource | ImageRef | RequestT]"
    ) -> "Sequence[ImageRef | RequestT | CallerError]":
        given = list(images)
        if all(isinstance(image, (ImageRef, Request)) for image in given):
            return cast("list[ImageRef | RequestT | CallerError]", given)
        return await asyncio.to_thread(upload_missing, self.blobs, given)

    async def publish(self, messages: Sequence[TaskMessage]) -> None:
        """Enqueue messages that were built elsewhere; one whose id is known already adds nothing."""
        with broker_errors():
            for start in range(0, len(messages), _PIPELINE):
                await self._publish_pipeline(messages[start : start + _PIPELINE])

    async def _publish_pipeline(self, messages: Sequence[TaskMessage]) -> None:
        if self._results is self._broker:
            pipeline = self._broker.pipeline(transaction=False)
            for message in messages:
                keys = (RESULT_KEY.format(message.id), message.list_key, message.wake_key)
                arguments = (_record_of(message), DEFAULT_RECORD_TTL, message.encode(), WAKE_TOKENS - 1)
                pipeline.eval(_ACCEPT, 3, *keys, *arguments)
            await pipeline.execute()
            return
        # Two servers cannot accept in one step: a record without its message would never be answered, so
        # the message goes first; a repeated idempotency key can then run twice, under one id.
        known = await self._results.mget([RESULT_KEY.format(message.id) for message in messages])
        fresh = [message for message, raw in zip(messages, known, strict=True) if raw is None]
        pipeline = self._broker.pipeline(transaction=False)
        for message in fresh:
            pipeline.lpush(message.list_key, message.encode())
            pipeline.lpush(message.wake_key, 1)
            pipeline.ltrim(message.wake_key, 0, WAKE_TOKENS - 1)
        await pipeline.execute()
        records = self._results.pipeline(transaction=False)
        for message in fresh:
            records.set(RESULT_KEY.format(message.id), _record_of(message), ex=DEFAULT_RECORD_TTL, nx=True)
        await records.execute()


def _record_of(message: TaskMessage) -> bytes:
    return queued_record(message.id, message.name, message.enqueued_at)


def _request_of(
    spec: TaskSpec[RequestT, Any], image: "ImageRef | Request | CallerError", options: dict[str, Any]
) -> RequestT | CallerError:
    """The request for one of many. Wrong options fail them all, another task's request fails alone."""
    if isinstance(image, CallerError):
        return image
    try:
        return build_request(spec, image, options)
    except InvalidRequest as err:
        if isinstance(image, Request) and not isinstance(image, spec.request):
            return err
        raise


def _group_key(key: str | None, start: int, group: Sequence[object]) -> str | None:
    """The key of one message: another one if other items of the same images could be sent."""
    if not key:
        return None
    failed = [str(place) for place, each in enumerate(group) if isinstance(each, CallerError)]
    return "/".join([key, str(start), *failed])
