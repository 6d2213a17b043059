"""Waits for a model process's reply while it watches the batch's time and the process's memory."""

import select
import time
from typing import Any, Final

from workers.inference.child import ModelChild
from workers.inference.memory import LOOK_SECONDS, MemoryBounds
from workers.processes.frames import receive_frame

_TICK: Final = 0.2


class MemoryExceededError(Exception):
    """The process takes far more memory than it may."""


class Watchdog:
    """`batch_timeout` is in seconds and counts from the start of a batch, not from its place in the queue."""

    def __init__(self, batch_timeout: float, memory: MemoryBounds) -> None:
        self._batch_timeout = batch_timeout
        self._memory = memory
        self._tick = LOOK_SECONDS if memory.ceiling else _TICK

    def receive(self, child: ModelChild, lane: int) -> dict[str, Any]:
        """The next reply on a lane.

        Raises TimeoutError, MemoryExceededError, and what `receive_frame` raises when the process has died.
        """
        link = child.links[lane]
        began: float | None = None
        while not select.select([link], [], [], self._tick)[0]:
            # While the other lane's batch runs, that lane's thread watches it, and no time counts here.
            if child.running[0] not in (0, lane + 1):
                began = None
                continue
            if began is None:
                began = time.monotonic()
            elif time.monotonic() - began > self._batch_timeout:
                raise TimeoutError
            self._check_memory(child)
        return receive_frame(link)

    def _check_memory(self, child: ModelChild) -> None:
        """Stop this process before the system, out of memory, kills one of its own choice."""
        if self._memory.ceiling:
            taken = child.resident_bytes()
            if self._memory.ceiling_exceeded(taken, child.loaded_bytes):
                raise MemoryExceededError(f"it took {taken >> 20} MB")
