"""Back-pressure: no new work while the oldest waiting task has waited too long.

The length of a queue says little where one task reads a line and another a book; the age of its oldest
task says how long a new one will wait. The tail of a broker's list is the oldest message of its priority.
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
"""Seconds that an answer is reused, so that a flood of requests does not become one of questions."""


def lists_of(queue: str, *, urgent_only: bool = False) -> list[str]:
    """The broker's lists of a queue, one for each priority."""
    steps = [0] if urgent_only else sorted(set(PRIORITIES.values()))
    return [_list(queue, step) for step in steps]


@dataclass(frozen=True, kw_only=True)
class QueueLine:
    """The tasks that wait in one queue at one priority; `oldest` is the wait of the oldest, in seconds."""

    queue: str
    priority: str
    depth: int
    oldest: float


class AdmissionControl:
    """Asks the broker how old the oldest waiting task of a queue is."""

    def __init__(self, redis: "Redis", max_age: float) -> None:
        self._redis = redis
        self._max_age = max_age
        self._known: dict[str, tuple[float, float]] = {}

    async def admit(self, queue: str) -> None:
        """Raises Refusal (429) with Retry-After while interactive tasks wait for too long."""
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
        """Seconds that the oldest message of these lists has waited; 0 where there is none."""
        with broker_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for each in lists:
                pipeline.lindex(each, -1)
            tails = await pipeline.execute()
        return max(map(_age, tails), default=0.0)

    async def lines(self) -> list[QueueLine]:
        """Every queue at every priority."""
        wanted = [(queue, priority, step) for queue in QUEUES for priority, step in PRIORITIES.items()]
        with broker_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for queue, _, step in wanted:
                name = _list(queue, step)
                pipeline.llen(name)
                pipeline.lindex(name, -1)
            answers = iter(await pipeline.execute())
        return [
            QueueLine(queue=queue, priority=priority, depth=next(answers), oldest=_age(next(answers)))
            for queue, priority, _ in wanted
        ]


def enqueued_at(message: bytes | None) -> float | None:
    """When a message was enqueued, if its producer said so."""
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
