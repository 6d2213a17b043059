"""Counts how many workers were lost while they ran a task.

A native crash or the out-of-memory killer ends a worker with all of its tasks, and the broker delivers them
again: without a bound, one request would end one worker after the other. Every worker adds itself to a hash
of the task before the task starts and removes itself when the task ends; a worker still in the hash is lost.

A lost worker's other tasks are innocent. From the second loss on a task therefore runs alone in its worker,
so that only a guilty task is lost a third and a fourth time.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from job_store.dead_letter import DeadLetter, DeliveryAttempt
from job_store.dead_letter_outbox import DeadLetterOutbox
from paddlewheel.errors import BrokerUnavailable, PaddlewheelError, WorkerLost
from tasks.delivery import Delivery
from workers.consumer.shared_lock import SharedExclusiveLock

DELIVERIES_KEY: Final = "paddlewheel:deliveries:{}"

TTL: Final = 24 * 3600
"""Seconds that a lost worker is remembered: longer than a task waits to be delivered again."""

LOSSES_IN_COMPANY: Final = 2
"""After so many losses a task runs alone; fewer may be bad luck."""

# KEYS: the task's hash. ARGV: this worker, now, the number of losses from which on the task is not begun, a
# TTL. Answers how many other workers were lost with it; below that number it adds this worker.
_BEGIN: Final = """
local lost = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], ARGV[1])
if lost < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return lost
"""

log = logging.getLogger(__name__)


class DeliveryCounter:
    """The counter of one worker. `max_deliveries` bounds how often a task is begun."""

    def __init__(self, redis: Redis, box: DeadLetterOutbox, *, worker: str, max_deliveries: int) -> None:
        self._redis = redis
        self._box = box
        self._worker = worker
        # Restarted containers reuse host names and process ids.
        self._mark = f"{worker}/{uuid.uuid4().hex[:8]}"
        self._most = max_deliveries
        self._suspect = min(LOSSES_IN_COMPANY, max_deliveries - 1)
        self._task_lock = SharedExclusiveLock()
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._ended: list[str] = []

    @contextmanager
    def track(self, delivery: Delivery) -> Iterator[None]:
        """Count the delivery while its task runs. Raises WorkerLost if it has cost too many workers."""
        with self._task_lock.shared():
            lost = self._begin(delivery.task_id, self._suspect)
            if lost < self._suspect:
                with self._mark_running(delivery.task_id):
                    yield
                return
        # A task that is given up does not run, so it needs no lock.
        with self._task_lock.exclusive() if lost < self._most else nullcontext():
            lost = self._begin(delivery.task_id, self._most)
            if lost >= self._most:
                self._give_up(delivery, lost)
            log.warning("%s[%s] runs alone: %d workers were lost", delivery.name, delivery.task_id, lost)
            with self._mark_running(delivery.task_id):
                yield

    def record_dead_letter(self, delivery: Delivery, err: PaddlewheelError) -> None:
        """Keep the request and its error for an operator."""
        self._put_letter(delivery, err, {self._worker: time.time()})

    def close(self) -> None:
        """Remove this worker from every task: the tasks that still run are handed over, not lost."""
        with self._lock:
            running, ended = list(self._running), self._take_ended()
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for task_id in running:
                    pipeline.hdel(DELIVERIES_KEY.format(task_id), self._mark)
                self._delete(pipeline, ended)
                pipeline.execute()
        except RedisError as err:
            log.warning("%d deliveries stay counted: %s", len(running), err)

    def _begin(self, task_id: str, below: int) -> int:
        """How many workers were lost. An unreachable store counts nothing."""
        with self._lock:
            ended = self._take_ended()
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                # Ended tasks are deleted in the same round trip.
                self._delete(pipeline, [other for other in ended if other != task_id])
                key = DELIVERIES_KEY.format(task_id)
                pipeline.eval(_BEGIN, 1, key, self._mark, str(time.time()), str(below), str(TTL))
                return int(pipeline.execute()[-1])
        except RedisError as err:
            log.warning("deliveries cannot be counted: %s", err)
            return 0

    @contextmanager
    def _mark_running(self, task_id: str) -> Iterator[None]:
        with self._lock:
            self._running.add(task_id)
        try:
            yield
        except BaseException:
            # It may be a retry, which another worker can begin at any moment.
            self._delete_now(task_id)
            raise
        else:
            with self._lock:
                self._ended.append(task_id)
        finally:
            with self._lock:
                self._running.discard(task_id)

    def _give_up(self, delivery: Delivery, lost: int) -> None:
        key = DELIVERIES_KEY.format(delivery.task_id)
        marks: dict[bytes, bytes] = self._redis.hgetall(key)  # type: ignore[assignment]
        err = WorkerLost(
            f"{lost} workers were lost while they ran this task: it is kept as a dead letter, which "
            "'paddlewheel dead show' shows."
        )
        log.error("%s[%s] is given up: %d workers were lost", delivery.name, delivery.task_id, lost)
        self._put_letter(delivery, err, {mark.decode(): float(at) for mark, at in marks.items()})
        self._delete_now(delivery.task_id)
        raise err

    def _put_letter(self, delivery: Delivery, err: PaddlewheelError, workers: Mapping[str, float]) -> None:
        found = uuid.uuid4().hex
        history = [
            DeliveryAttempt(
                letter=found,
                task_id=delivery.task_id,
                worker=worker,
                at=datetime.fromtimestamp(at, UTC),
                reason=err.code,
            )
            for worker, at in sorted(workers.items(), key=lambda pair: pair[1])
        ]
        letter = DeadLetter(
            id=found,
            task_id=delivery.task_id,
            name=delivery.name,
            queue=delivery.queue,
            request=delivery.request,
            headers=delivery.headers,
            error_code=err.code,
            error_message=err.message,
            history=tuple(history),
            created_at=datetime.now(UTC),
        )
        try:
            self._box.put(letter)
        except BrokerUnavailable as away:
            # Only the log is left: it gets references, no image bytes.
            log.error("a dead letter could not be kept (%s): %s", away.message, letter.model_dump_json())

    def _delete_now(self, task_id: str) -> None:
        try:
            self._redis.unlink(DELIVERIES_KEY.format(task_id))
        except RedisError as err:
            log.warning("a delivery of task %s stays counted: %s", task_id, err)

    def _take_ended(self) -> list[str]:
        ended, self._ended = self._ended, []
        return ended

    def _delete(self, pipeline: Any, ended: list[str]) -> None:
        if ended:
            pipeline.unlink(*(DELIVERIES_KEY.format(task_id) for task_id in ended))
