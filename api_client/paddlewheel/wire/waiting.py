"""One subscription that serves every waiter of an event loop.

The worker's result store announces each record on a channel of its own. A waiter subscribes, and the record
is read once the server has confirmed that, so that nothing falls between the two. A connection that was made
anew is confirmed anew, so what was announced meanwhile is read in the same way. Should an announcement be
lost otherwise, outstanding records are also read when nothing has come for some time.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from paddlewheel.errors import BrokerUnavailable, InternalError
from paddlewheel.wire.connection import broker_errors
from paddlewheel.wire.result_store import RESULT_KEY, TaskRecord, unreadable_record

if TYPE_CHECKING:
    from redis.asyncio import Redis

RE_READ_INTERVAL: Final = 5.0
"""Seconds without any announcement after which outstanding records are read again."""

CONNECT_PATIENCE: Final = 5.0
"""Seconds that a subscription is waited for. Who has one goes on waiting, whatever the connection does."""

RECONNECT_PAUSE: Final = 0.2
_CHUNK: Final = 500
_PREFIX: Final = RESULT_KEY.format("")

_CUT_OFF: Final = (BrokerUnavailable, AttributeError)
"""A read ends with the latter when a writer has found the connection lost first: there is no stream then."""


class ResultReader:
    """Resolves futures by task id. All methods belong to one event loop.

    `redis` reads records. `subscriber` only listens, and must not connect anew by itself (`connect_once`):
    redis-py would do so for a listener and a writer at once, over one connection. The listener alone does.
    """

    def __init__(self, redis: "Redis", subscriber: "Redis") -> None:
        self._redis = redis
        self._subscriber = subscriber
        self._futures: dict[str, asyncio.Future[TaskRecord]] = {}
        self._waiters: dict[str, int] = {}
        # It keeps the connection subscribed while nobody waits.
        self._own_channel = f"paddlewheel:client:{uuid.uuid4()}"
        self._pubsub: Any = None
        self._connected = asyncio.Event()
        self._lost: Exception | None = None
        self._subscribed: set[str] = set()
        self._to_read: dict[str, None] = {}
        self._something_to_read = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()

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
            await self._subscribe([task_id for task_id in ids if task_id not in self._subscribed])
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
            self._subscribed.discard(task_id)
            future = self._futures.pop(task_id, None)
            if future is not None and not future.done():
                future.cancel()
            elif future is not None and not future.cancelled():
                future.exception()  # seen: asyncio need not log it
            unwanted.append(RESULT_KEY.format(task_id))
        if unwanted and self._connected.is_set():  # else it is given up when the connection is back
            with contextlib.suppress(BrokerUnavailable):
                await self._tell(self._pubsub.unsubscribe, *unwanted)

    async def close(self) -> None:
        """Stop reading; waiters are cancelled."""
        self._connected.clear()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            while not task.done():
                # redis-py can swallow a cancellation that meets its own timeout, so one is not enough.
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()
        self._subscribed.clear()
        if self._pubsub is not None:
            await self._pubsub.aclose()
            self._pubsub = None

    async def _subscribe(self, ids: list[str]) -> None:
        if ids and not self._tasks:
            self._pubsub = self._subscriber.pubsub()
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read_records())]
            for task in self._tasks:
                task.add_done_callback(self._ended)
        for keys in _portions(ids):
            await self._tell(self._pubsub.subscribe, *keys)
        self._subscribed.update(ids)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Neither task ends by itself. Should one, its waiters are told, and the next starts both anew."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._connected.clear()
        for each in self._tasks:
            each.cancel()
        self._tasks = []
        self._subscribed.clear()
        for future in self._futures.values():
            if not future.done():
                told = InternalError(f"Waiting for results ended: {type(error).__name__}: {error}")
                told.__cause__ = error
                future.set_exception(told)

    async def _tell(self, command: Callable[..., Awaitable[Any]], *channels: str) -> None:
        """Subscribe or unsubscribe beside the listener."""
        try:
            async with asyncio.timeout(CONNECT_PATIENCE), self._writing:
                while True:
                    await self._connected.wait()
                    try:
                        with broker_errors():
                            await command(*channels)
                            return
                    except BrokerUnavailable:
                        await asyncio.sleep(RECONNECT_PAUSE)
                    finally:
                        # Also when cancelled in the middle of a write, which costs the connection.
                        if self._pubsub is None or not self._pubsub.connection.is_connected:
                            self._connected.clear()
        except TimeoutError as err:
            why = f"No result can be waited for: no connection within {CONNECT_PATIENCE:g} s."
            raise BrokerUnavailable(f"{why} {self._lost or ''}".strip()) from (self._lost or err)

    async def _listen(self) -> None:
        while True:
            try:
                if not self._connected.is_set():
                    await self._connect()
                with broker_errors():
                    message = await self._pubsub.get_message(timeout=RE_READ_INTERVAL)
                if message is None:
                    await self._read(self._outstanding())
                elif message["type"] == "message":
                    self._resolve(_task_of(message["channel"]), message["data"])
                elif message["type"] == "subscribe":
                    self._have_read([_task_of(message["channel"])])
            except _CUT_OFF as err:
                self._connected.clear()
                self._lost = err
                # A server that refuses subscriptions still has the records.
                self._have_read(self._outstanding())
                await asyncio.sleep(RECONNECT_PAUSE)

    async def _connect(self) -> None:
        """Connect, for the first time or anew; redis-py subscribes again to what it was subscribed to."""
        with broker_errors():
            if self._pubsub.connection is not None:
                await self._pubsub.connection.disconnect(nowait=True)
            await self._pubsub.connect()
            if not self._pubsub.channels:
                await self._pubsub.subscribe(self._own_channel)
            kept = {self._own_channel.encode(), *(RESULT_KEY.format(each).encode() for each in self._futures)}
            if unwanted := [channel for channel in self._pubsub.channels if channel not in kept]:
                await self._pubsub.unsubscribe(*unwanted)
        self._connected.set()

    def _have_read(self, task_ids: Iterable[str]) -> None:
        self._to_read |= dict.fromkeys(task_ids)
        self._something_to_read.set()

    async def _read_records(self) -> None:
        """Beside the listener, which goes on; what is wanted during one read is read by the next."""
        while True:
            await self._something_to_read.wait()
            self._something_to_read.clear()
            ids = [task_id for task_id in self._to_read if self._is_outstanding(task_id)]
            self._to_read.clear()
            try:
                await self._read(ids)
            except BrokerUnavailable as err:
                self._lost = err
                self._have_read(ids)
                await asyncio.sleep(RECONNECT_PAUSE)

    def _is_outstanding(self, task_id: str) -> bool:
        future = self._futures.get(task_id)
        return future is not None and not future.done()

    def _outstanding(self) -> list[str]:
        return [task_id for task_id in self._futures if self._is_outstanding(task_id)]

    async def _read(self, ids: list[str]) -> None:
        with broker_errors():
            for keys in _portions(ids):
                for key, raw in zip(keys, await self._redis.mget(keys), strict=True):
                    if raw is not None:
                        self._resolve(key.removeprefix(_PREFIX), raw)

    def _resolve(self, task_id: str, raw: bytes | str) -> None:
        if not self._is_outstanding(task_id):
            return
        try:
            record = TaskRecord.parse(raw)
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            record = unreadable_record(task_id, err)
        if record.finished:
            self._futures[task_id].set_result(record)


def _task_of(channel: bytes) -> str:
    return channel.decode().removeprefix(_PREFIX)


def _portions(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield [RESULT_KEY.format(task_id) for task_id in ids[start : start + _CHUNK]]
