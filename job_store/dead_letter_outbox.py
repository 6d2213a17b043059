"""Dead letters on their way to Postgres: a list in the result store.

A worker that can answer at all can write there, whether or not a database is configured, up and migrated.
"""

from collections.abc import Sequence
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError

from job_store.dead_letter import DeadLetter
from job_store.dead_letter_store import DeadLetterStore
from paddlewheel.errors import BrokerUnavailable

BOX_KEY: Final = "paddlewheel:dead_letters"

UNREADABLE_KEY: Final = "paddlewheel:dead_letters:unreadable"
"""The newest thousand entries that are no dead letters, for an operator to inspect."""

CAPACITY: Final = 10_000
"""Without a database only the newest are kept: some 10 MB."""

_PORTION: Final = 100


class DeadLetterOutbox:
    """Dead letters that are not in Postgres yet. Raises BrokerUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def put(self, letter: DeadLetter) -> None:
        """Add one."""
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.lpush(BOX_KEY, letter.model_dump_json())
                pipeline.ltrim(BOX_KEY, 0, CAPACITY - 1)
                pipeline.execute()
        except RedisError as err:
            raise _unavailable(err) from err

    def waiting(self) -> list[DeadLetter]:
        """All that are there, the newest first."""
        return [letter for raw in self._range(0, -1) if (letter := _read(raw))]

    def file_in(self, letters: DeadLetterStore) -> int:
        """Move all to Postgres, the oldest first; how many. Unreadable ones are set aside."""
        moved = 0
        while portion := self._range(-_PORTION, -1)[::-1]:
            found = [(raw, _read(raw)) for raw in portion]
            readable = [letter for _, letter in found if letter is not None]
            if readable:
                letters.file(readable)
            self._remove(portion, unreadable=[raw for raw, letter in found if letter is None])
            moved += len(readable)
        return moved

    def _range(self, first: int, last: int) -> list[bytes]:
        try:
            return cast(list[bytes], self._redis.lrange(BOX_KEY, first, last))
        except RedisError as err:
            raise _unavailable(err) from err

    def _remove(self, portion: Sequence[bytes], *, unreadable: Sequence[bytes]) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for raw in portion:
                    pipeline.lrem(BOX_KEY, -1, raw)  # type: ignore[arg-type]
                if unreadable:
                    pipeline.lpush(UNREADABLE_KEY, *unreadable)
                    pipeline.ltrim(UNREADABLE_KEY, 0, 999)
                pipeline.execute()
        except RedisError as err:
            raise _unavailable(err) from err


def _read(raw: bytes) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(raw)
    except ValueError:
        return None


def _unavailable(err: RedisError) -> BrokerUnavailable:
    return BrokerUnavailable(f"The result store, where dead letters wait, cannot be reached: {err}")
