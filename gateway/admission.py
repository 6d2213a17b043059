"""Back-pressure: refuse new work while the oldest waiting task is too old.

Queue length says little when one task reads a line and another a whole book. The age of the oldest task
predicts how long a new one will wait. It is the tail of the broker's list for its priority.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.problems import Refusal
from paddlewheel.wire.connection import broker_errors
from paddlewheel.wire.messages import ENQUEUED_AT_HEADER, PRIORITIES, PRIORITY_SEPARATOR

if TYPE_CHECKING:
    from redis.asyncio import Redis

QUEUES: Final = ("gpu", "index", "batch")
_MEMORY: Final = 0.5
"""Seconds for which an age is cached, so that a flood of requests does not reach the broker."""


def lists_of(queue: str, *, urgent_only: bool = False) -> list[str]:
    """The broker's lists of a queue, one for each priority."""
    steps = [0] if urgent_only else sorted(set(PRIORITIES.values()))
    return [_list(queue, step) for step in steps]


@dataclass(frozen=True, kw_only=True)
class QueueStats:
    """The tasks waiting in one queue at one priority; `oldest` is the age of the oldest in seconds."""

    queue: str
    priority: str
    depth: int
    oldest: float


class AdmissionControl:
    """Refuses requests while a queue's oldest interactive task is older than `max_age` seconds."""

    def __init__(self, redis: "Redis", max_age: float) -> None:
        self._redis = redis
        self._max_age = max_age
        self._known: dict[str, tuple[float, float]] = {}

    async def admit(self, queue: str) -> None:
        """Raise Refusal (429, with Retry-After) while interactive tasks wait too long."""
        if not self._max_age:
            return
        at, age = self._known.get(queue, (0.0, 0.0))
        if time.monotonic() - at > _MEMORY:
            age = await self.oldest(lists_of(queue, urgent_only=True))
            self._known[queue] = (time.monotonic(), age)
        if age > self._max_age:
            raise Refusal(
                429,
                "overloaded",
                f"The oldest waiting task has waited for {age:.0f} s: try again later.",
                headers={"Retry-After": str(max(1, round(age / 4)))},
            )

    async def oldest(self, lists: Sequence[str]) -> float:
        """Age in seconds of the oldest message in these lists; 0 if they are empty."""
        with broker_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for each in lists:
                pipeline.lindex(each, -1)
            tails = await pipeline.execute()
        return max(map(_age, tails), default=0.0)

    async def queue_stats(self) -> list[QueueStats]:
        """Read depth and age of every queue at every priority."""
        wanted = [(queue, priority, step) for queue in QUEUES for priority, step in PRIORITIES.items()]
        with broker_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for queue, _, step in wanted:
                name = _list(queue, step)
                pipeline.llen(name)
                pipeline.lindex(name, -1)
            answers = iter(await pipeline.execute())
        return [
            QueueStats(queue=queue, priority=priority, depth=next(answers), oldest=_age(next(answers)))
            for queue, priority, _ in wanted
        ]


def enqueued_at(message: bytes | None) -> float | None:
    """When a message was enqueued (seconds since the epoch); None if its producer did not say."""
    if message is None:
        return None
    try:
        headers: dict[str, Any] = json.loads(message)["headers"]
        return float(headers[ENQUEUED_AT_HEADER])
    except (ValueError, KeyError, TypeError):
        return None


def _age(message: bytes | None) -> float:
    enqueued = enqueued_at(message)
    return 0.0 if enqueued is None else max(0.0, time.time() - enqueued)


def _list(queue: str, step: int) -> str:
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue
