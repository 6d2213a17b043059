"""Which tasks have been cancelled: looked up as a task starts, then received over a channel while it runs."""

import logging
import threading
from typing import TYPE_CHECKING, Final

from redis import Redis
from redis.exceptions import RedisError

from paddlewheel.wire.result_store import CANCEL_CHANNEL, CANCELLED_KEY

if TYPE_CHECKING:
    from redis.client import PubSub

_PAUSE: Final = 1.0
log = logging.getLogger(__name__)


class RedisCancellations:
    """`is_cancelled` reads a local set, so that the batcher can call it for every item."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._cancelled: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="cancellations", daemon=True)
        self._thread.start()

    def register(self, task_id: str) -> None:
        """Look up a task that starts. An unreachable store cancels nothing."""
        with self._lock:
            self._running[task_id] = self._running.get(task_id, 0) + 1
        try:
            known = self._redis.exists(CANCELLED_KEY.format(task_id))
        except RedisError as err:
            log.warning("cancelled tasks cannot be looked up: %s", err)
            return
        if known:
            self._add(task_id)

    def is_cancelled(self, task_id: str) -> bool:
        """Whether it has been cancelled by now."""
        return task_id in self._cancelled

    def unregister(self, task_id: str) -> None:
        """Stop watching a task that has ended."""
        with self._lock:
            left = self._running.get(task_id, 1) - 1
            if left:
                self._running[task_id] = left
            else:
                self._running.pop(task_id, None)
                self._cancelled.discard(task_id)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._thread.join()
        self._redis.close()

    def _add(self, task_id: str) -> None:
        with self._lock:
            if task_id in self._running:
                self._cancelled.add(task_id)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(CANCEL_CHANNEL)
                    self._catch_up()
                    self._receive(channel)
            except RedisError as err:
                log.warning("cancellations are not received for now: %s", err)
                self._closed.wait(_PAUSE)

    def _receive(self, channel: "PubSub") -> None:
        while not self._closed.is_set():
            message = channel.get_message(timeout=0.5)
            if message is not None and isinstance(message.get("data"), bytes):
                try:
                    self._add(message["data"].decode())
                except UnicodeDecodeError:
                    log.warning("a cancellation is ignored: it is not a task's id")

    def _catch_up(self) -> None:
        """Look up the running tasks: cancellations sent before the subscription were missed."""
        with self._lock:
            running = list(self._running)
        for task_id in running:
            if self._redis.exists(CANCELLED_KEY.format(task_id)):
                self._add(task_id)
