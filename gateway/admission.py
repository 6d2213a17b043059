"""Back-pressure: no new work while the oldest waiting task has waited too long.

The length of a queue says little where one task reads a line and another a book; the age of its oldest
task says how long a new one will wait. The tail of a broker's list is the oldest message of its priority.
"""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from api_client.connection import broker_errors
from api_client.messages import ENQUEUED_AT_HEADER, PRIORITIES, PRIORITY_SEPARATOR
from gateway.problems import Refusal

if TYPE_CHECKING:
    from redis.asyncio import Redis

QUEUES: Final = ("gpu", "index", "batch")
_MEMORY: Final = 0.5
"""Seconds that an answer is reused, so that a flood of requests does not become one of questions."""


def lists_of(queue: str, *, urgent_only: bool = False) -> list[str]:
    """The broker's lists of a queue, one for each priority."""
    steps = [0] if urgent_only else sorted(set(PRIORITIES.values()))
    return [f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue for step in steps]


class Admission:
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
        ages = [time.time() - enqueued for tail in tails if (enqueued := enqueued_at(tail)) is not None]
        return max(0.0, *ages) if ages else 0.0

    async def depths(self) -> dict[str, int]:
        """How many tasks wait in each queue."""
        with broker_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for queue in QUEUES:
                for each in lists_of(queue):
                    pipeline.llen(each)
            lengths = iter(await pipeline.execute())
        return {queue: sum(next(lengths) for _ in lists_of(queue)) for queue in QUEUES}


def enqueued_at(message: bytes | None) -> float | None:
    """When a message was enqueued, if its producer said so."""
    if message is None:
        return None
    try:
        headers: dict[str, Any] = json.loads(message)["headers"]
        return float(headers[ENQUEUED_AT_HEADER])
    except (ValueError, KeyError, TypeError):
        return None
