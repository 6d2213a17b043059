"""When a model process is replaced for the memory that it takes, and whether its successor runs beside it."""

from typing import Final

from workers.inference.memory import MemoryBounds, free_bytes

_MARGIN: Final = 1.5
"""Memory that has to be free for a second process beside the first, in sizes of a fresh one."""


class RecyclingPolicy:
    """`taken` is the process's memory now, `loaded` what it took before its first batch; in bytes."""

    def __init__(self, memory: MemoryBounds, *, overlap: bool) -> None:
        self._memory = memory
        self._overlap = overlap

    def is_due(self, taken: int, loaded: int) -> bool:
        """Whether the process is to be replaced before its next batch."""
        return bool(self._memory.ceiling) and self._memory.limit_exceeded(taken, loaded)

    def can_overlap(self, taken: int, loaded: int) -> bool:
        """Whether it may serve until its successor is ready.

        Above its ceiling it would be killed in whichever batch comes next.
        """
        if not self._overlap or self._memory.ceiling_exceeded(taken, loaded):
            return False
        return free_bytes() > _MARGIN * loaded
