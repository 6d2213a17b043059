"""How much memory a model process may take: between two batches, and within one.

Two bounds hold within a batch. The worker looks at what the process has in use, every `LOOK_SECONDS`, and
kills it above the ceiling: that is exact, but late by what can be taken in between. The kernel refuses
allocations (RLIMIT_DATA) far above it at once, however fast they come. Engines reserve more than they use,
measured after batches of thirty shapes: Paddle 1.9 times as much, ONNX Runtime 1.5, OpenVINO 1.4. RLIMIT_AS
would count address space that is never written: 3.8 GB with Paddle, far more with CUDA.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.05

RESERVED: Final = 2
"""What may be reserved beyond what the models took when loaded, in ceilings."""

_RUNAWAY: Final = 2
"""Without a ceiling of its own a process has one at so many times its limit."""

_GROWTH: Final = 1.25
"""A process that takes more than the limit as soon as it is loaded is not replaced until it grew by this."""

_STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True, kw_only=True)
class MemoryBounds:
    """Above `limit` bytes a process is replaced between two batches, above `maximum` killed within one.

    0 for none; with a limit alone the maximum is twice that.
    """

    limit: int = 0
    maximum: int = 0

    @property
    def ceiling(self) -> int:
        """What no batch may reach, of a process that takes less than the limit when loaded; 0 for none."""
        return self.maximum or _RUNAWAY * self.limit

    def outgrown(self, taken: int, loaded: int) -> bool:
        """Whether a process of `taken` bytes, `loaded` before its first batch, is to be replaced."""
        if self.limit and taken > max(self.limit, _GROWTH * loaded):
            return True
        return self.exceeded(taken, loaded)

    def exceeded(self, taken: int, loaded: int) -> bool:
        """Whether it is to be killed."""
        ceiling = self.maximum or _RUNAWAY * max(self.limit, loaded)
        return bool(self.ceiling) and taken > ceiling


def bound_own_data(ceiling: int) -> None:
    """Have the kernel refuse this process what is far above the ceiling; 0 for no bound."""
    if not ceiling or sys.platform != "linux":
        return
    import resource

    fields = [int(each) * os.sysconf("SC_PAGE_SIZE") for each in _STATM.read_text().split()]
    taken, now = fields[1], fields[5]
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    # A limit below what the models take by themselves bounds no batch: `exceeded` counts from there, too.
    wanted = now + RESERVED * max(ceiling, _RUNAWAY * taken)
    if most == resource.RLIM_INFINITY or wanted < most:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
