"""How much memory a model process may take: between two batches, and within one.

Two bounds hold within a batch. The worker reads the process's resident memory every `LOOK_SECONDS` and kills
it above the ceiling: exact, but late by what the process can take in between. The kernel refuses allocations
far above the ceiling at once (RLIMIT_DATA). Engines reserve more than they use,
measured after batches of thirty shapes: Paddle 1.9 times as much, ONNX Runtime 1.5, OpenVINO 1.4. RLIMIT_AS
would count address space that is never written: 3.8 GB with Paddle, far more with CUDA.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.05

RESERVED: Final = 2
"""How many ceilings a process may reserve beyond what its models took when loaded."""

_RUNAWAY: Final = 2
"""The ceiling in multiples of the limit, where no maximum is set."""

_GROWTH: Final = 1.25
"""How much a process grows before it is replaced if it exceeds the limit as soon as it is loaded."""

_STATM: Final = Path("/proc/self/statm")
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class MemoryBounds:
    """Above `limit` bytes a process is replaced between two batches, above `maximum` killed within one.

    0 for none; with a limit alone the maximum is twice that.
    """

    limit: int = 0
    maximum: int = 0

    @property
    def ceiling(self) -> int:
        """The bytes that no batch may reach, for a process below the limit when loaded; 0 for none."""
        return self.maximum or _RUNAWAY * self.limit

    def limit_exceeded(self, taken: int, loaded: int) -> bool:
        """Whether to replace a process that takes `taken` bytes and took `loaded` before its first batch."""
        if self.limit and taken > max(self.limit, _GROWTH * loaded):
            return True
        return self.ceiling_exceeded(taken, loaded)

    def ceiling_exceeded(self, taken: int, loaded: int) -> bool:
        """Whether to kill it."""
        ceiling = self.maximum or _RUNAWAY * max(self.limit, loaded)
        return bool(self.ceiling) and taken > ceiling


def limit_own_memory(ceiling: int) -> None:
    """Set the kernel's limit for this process, far above the ceiling; a ceiling of 0 sets none."""
    if not ceiling or sys.platform != "linux":
        return
    import resource

    fields = [int(each) * os.sysconf("SC_PAGE_SIZE") for each in _STATM.read_text().split()]
    taken, now = fields[1], fields[5]
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    # A limit below what the models take by themselves bounds no batch; `ceiling_exceeded` agrees.
    wanted = now + RESERVED * max(ceiling, _RUNAWAY * taken)
    if most == resource.RLIM_INFINITY or wanted < most:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def free_bytes() -> int:
    """Memory that a new process may take, of the machine and of the container; 0 where it is not reported."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):  # no limit reads `max`
        limit, taken = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(limit - taken)
    return max(0, min(found, default=0))
