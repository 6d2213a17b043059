"""One subscription that serves every waiter of an event loop.

The worker's result store announces each record on a channel of its own. A waiter subscribes, and the record
is read once the server has confirmed the subscription, so that no record is missed between the two. After a
reconnect the server confirms again, so records announced meanwhile are read in the same way. In case an
announcement is lost for another reason, outstanding records are also read when nothing has come for some
time.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from paddlewheel.errors import AuthenticationFailed, BrokerUnavailable, InternalError
from paddlewheel.wire.connection import broker_errors
from paddlewheel.wire.result_store import RESULT_KEY, TaskRecord
from paddlewheel.wire.subscription import LOST, State, Subscription, pause
from paddlewheel.wire.waiters import Waiters

if TYPE_CHECKING:
    from redis.asyncio import Redis

RE_READ_INTERVAL: Final = 5.0
"""Seconds without any announcement after which outstanding records are read again."""

_CHUNK: Final = 500
_PREFIX: Final = RESULT_KEY.format("")


class ReadRequests:
    """Tasks whose records are to be read; each is read once, however often it is added before that."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._some = asyncio.Event()

    def add(self, task_ids: Iterable[str]) -> None:
        """Have these records read."""
        self._ids |= dict.fromkeys(task_ids)
        self._some.set()

    async def take(self) -> list[str]:
        """What was added since the last call; waits until there is something."""
        await self._some.wait()
        self._some.clear()
        ids = list(self._ids)
        self._ids.clear()
        return ids


class ResultReader:
    """Resolves futures by task id. All methods belong to one event loop.

    `redis` reads records, `subscriber` listens (see `Subscription`). Two tasks do the work: one listens, one
    reads records. They start with the first waiter and run until `close`.
    """

    def __init__(self, redis: "Redis", subscriber: "Redis") -> None:
        self._redis = redis
        self._waiters = Waiters()
        self._subscription = Subscription(subscriber, wanted=lambda: _keys_of(self._waiters.ids()))
        self._subscribed: set[str] = set()
        self._reads = ReadRequests()
        self._tasks: list[asyncio.Task[None]] = []

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
        futures = self._waiters.add(ids)
        try:
            await self._subscribe([task_id for task_id in ids if task_id not in self._subscribed])
        except BaseException:
            await self.release(ids)
            raise
        return futures

    async def release(self, task_ids: Iterable[str]) -> None:
        """Forget ids that nobody else waits for."""
        unwanted = self._waiters.remove(task_ids)
        self._subscribed.difference_update(unwanted)
        # Without a connection they are given up by the next one.
        if unwanted and self._subscription.state is State.CONNECTED:
            with contextlib.suppress(BrokerUnavailable, AuthenticationFailed):
                await self._subscription.unsubscribe(*_keys_of(unwanted))

    async def close(self) -> None:
        """Stop reading; waiters are cancelled."""
        self._subscription.suspend()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            while not task.done():
                # redis-py can swallow a cancellation that meets its own timeout, so one is not enough.
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
        self._waiters.cancel()
        self._subscribed.clear()
        await self._subscription.close()

    async def _subscribe(self, ids: list[str]) -> None:
        if ids and not self._tasks:
            self._start()
        for keys in _portions(ids):
            await self._subscription.subscribe(*keys)
        self._subscribed.update(ids)

    def _start(self) -> None:
        self._subscription.open()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read_records())]
        for task in self._tasks:
            task.add_done_callback(self._stop_after)

    def _stop_after(self, task: "asyncio.Task[None]") -> None:
        """If a task fails, every waiter gets its error, and the next waiter starts both again."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._subscription.suspend()
        for each in self._tasks:
            each.cancel()
        self._tasks = []
        self._subscribed.clear()
        self._waiters.fail(lambda: _failure(error))

    async def _listen(self) -> None:
        while True:
            try:
                await self._handle(await self._subscription.receive(RE_READ_INTERVAL))
            except LOST as err:
                self._subscription.lose(err)
                # A server that refuses subscriptions still has the records.
                self._reads.add(self._waiters.outstanding())
                await pause()

    async def _handle(self, message: Any) -> None:
        if message is None:
            await self._read(self._waiters.outstanding())
        elif message["type"] == "message":
            self._waiters.resolve(_task_of(message["channel"]), message["data"])
        elif message["type"] == "subscribe":
            self._reads.add([_task_of(message["channel"])])

    async def _read_records(self) -> None:
        """Read while the listener keeps listening."""
        while True:
            ids = [task_id for task_id in await self._reads.take() if self._waiters.is_outstanding(task_id)]
            try:
                await self._read(ids)
            except (BrokerUnavailable, AuthenticationFailed) as err:
                self._subscription.note_failure(err)
                self._reads.add(ids)
                await pause()

    async def _read(self, ids: list[str]) -> None:
        with broker_errors():
            for keys in _portions(ids):
                for key, raw in zip(keys, await self._redis.mget(keys), strict=True):
                    if raw is not None:
                        self._waiters.resolve(key.removeprefix(_PREFIX), raw)


def _failure(error: BaseException) -> InternalError:
    failure = InternalError(f"Waiting for results ended: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _task_of(channel: bytes) -> str:
    return channel.decode().removeprefix(_PREFIX)


def _keys_of(ids: Iterable[str]) -> list[str]:
    return [RESULT_KEY.format(task_id) for task_id in ids]


def _portions(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield _keys_of(ids[start : start + _CHUNK])
