"""One subscription that serves every waiter of an event loop.

The worker's result store announces each record on a channel of its own. A waiter subscribes first and
then reads the record, so that nothing falls between the two. Announcements can be lost while a connection
is being made anew, so outstanding records are also read again from time to time.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from api_client.connection import broker_errors
from api_client.errors import BrokerUnavailable
from api_client.result_store import RESULT_KEY, TaskRecord

if TYPE_CHECKING:
    from redis.asyncio import Redis

RE_READ_INTERVAL: Final = 5.0
"""Seconds without any announcement after which outstanding records are read again."""

RECONNECT_PAUSE: Final = 0.2
_CHUNK: Final = 500
_TRIES: Final = 5


class ResultReader:
    """Resolves futures by task id. All methods belong to one event loop."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._futures: dict[str, asyncio.Future[TaskRecord]] = {}
        self._waiters: dict[str, int] = {}
        self._own_channel = f"paddlewheel:client:{uuid.uuid4()}"
        self._pubsub: Any = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def wait(self, task_id: str) -> TaskRecord:
        """The finished record of one task; waits as long as it takes."""
        future = (await self.watch([task_id]))[task_id]
        try:
            return await asyncio.shield(future)
        finally:
            await self.release([task_id])

    async def watch(self, task_ids: Iterable[str]) -> dict[str, "asyncio.Future[TaskRecord]"]:
        """A future for each id; `release` the same ids when they are no longer wanted."""
        ids = list(dict.fromkeys(task_ids))
        fresh = [task_id for task_id in ids if task_id not in self._futures]
        loop = asyncio.get_running_loop()
        for task_id in fresh:
            self._futures[task_id] = loop.create_future()
        for task_id in ids:
            self._waiters[task_id] = self._waiters.get(task_id, 0) + 1
        futures = {task_id: self._futures[task_id] for task_id in ids}
        try:
            await self._subscribe(fresh)
            await self._read(fresh)
        except BaseException:
            await self.release(ids)
            raise
        return futures

    async def release(self, task_ids: Iterable[str]) -> None:
        """Forget ids that nobody else waits for."""
        unwanted = []
        for task_id in task_ids:
            left = self._waiters.get(task_id, 1) - 1
            if left:
                self._waiters[task_id] = left
                continue
            self._waiters.pop(task_id, None)
            future = self._futures.pop(task_id, None)
            if future is not None and not future.done():
                future.cancel()
            unwanted.append(RESULT_KEY.format(task_id))
        if unwanted and self._pubsub is not None:
            with contextlib.suppress(BrokerUnavailable):
                async with self._lock:
                    await self._tell(self._pubsub.unsubscribe, *unwanted)

    async def close(self) -> None:
        """Stop reading; waiters are cancelled."""
        self._closed = True
        while self._task is not None and not self._task.done():
            # redis-py can swallow a cancellation that meets its own timeout, so one is not enough.
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()
        if self._pubsub is not None:
            await self._pubsub.aclose()
            self._pubsub = None

    async def _subscribe(self, ids: list[str]) -> None:
        if not ids:
            return
        async with self._lock:
            if self._pubsub is None:
                # Confirmations are not ignored: redis-py gives an ignored one as None, as if none came.
                self._pubsub = self._redis.pubsub()
                # It keeps the connection subscribed while nobody waits.
                await self._tell(self._pubsub.subscribe, self._own_channel)
            for keys in _portions(ids):
                await self._tell(self._pubsub.subscribe, *keys)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    async def _tell(self, command: Callable[..., Awaitable[Any]], *channels: str) -> None:
        """Subscribe or unsubscribe beside the listener, which may be connecting anew at that moment."""
        for left in reversed(range(_TRIES)):
            try:
                with broker_errors():
                    await command(*channels)
            except AttributeError as err:
                # redis-py takes the connection's writer away before it has another one.
                if not left:
                    raise BrokerUnavailable("The connection to the broker was lost.") from err
                await asyncio.sleep(RECONNECT_PAUSE)
            else:
                return

    async def _listen(self) -> None:
        while not self._closed:
            try:
                with broker_errors():
                    message = await self._pubsub.get_message(timeout=RE_READ_INTERVAL)
                if message is None or self._connected_anew(message):
                    await self._read(self._outstanding())
                elif message["type"] == "message":
                    self._resolve(message["data"])
            except (BrokerUnavailable, AttributeError):  # the latter as in `_tell`
                await asyncio.sleep(RECONNECT_PAUSE)
                await self._reconnect()

    def _connected_anew(self, message: dict[str, Any]) -> bool:
        """Whether redis-py subscribed once more by itself: announcements may have been lost before it."""
        return (message["type"], message["channel"]) == ("subscribe", self._own_channel.encode())

    async def _reconnect(self) -> None:
        with contextlib.suppress(BrokerUnavailable):
            await self._read(self._outstanding())

    def _outstanding(self) -> list[str]:
        return [task_id for task_id, future in self._futures.items() if not future.done()]

    async def _read(self, ids: list[str]) -> None:
        with broker_errors():
            for keys in _portions(ids):
                for raw in await self._redis.mget(keys):
                    if raw is not None:
                        self._resolve(raw)

    def _resolve(self, raw: bytes | str) -> None:
        record = TaskRecord.parse(raw)
        future = self._futures.get(record.task_id)
        if record.finished and future is not None and not future.done():
            future.set_result(record)


def _portions(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield [RESULT_KEY.format(task_id) for task_id in ids[start : start + _CHUNK]]
