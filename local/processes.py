"""Processes identified by pid and start time: a pid alone may have been reused."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process that leads its own group. `born` distinguishes it from a later process with the same pid."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The running process with that pid; None if there is none, or a zombie."""
        moment = born(pid)
        return cls(pid=pid, born=moment) if moment else None

    def alive(self) -> bool:
        return born(self.pid) == self.born

    def send(self, signum: int) -> bool:
        """Send a signal; returns False if the process has ended."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, signum)
        except ProcessLookupError:
            return False
        return True

    def stop(self, signum: int, seconds: float) -> bool:
        """Send a signal; kill the process and its group after `seconds`. True if it ended by itself."""
        if not self.send(signum):
            return True
        obeyed = wait_until(lambda: not self.alive(), seconds)
        if not obeyed:
            kill_group(self.pid)
        return obeyed


def born(pid: int) -> str | None:
    """When the process started, in a system-specific format; None if it has ended or is a zombie."""
    return _born_by_proc(pid) if has_proc() else _born_by_ps(pid)


def has_proc() -> bool:
    """Whether the system has /proc."""
    return Path("/proc/self/stat").exists()


def kill_group(pid: int) -> None:
    """Kill the remaining processes in the group of a process that has just ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def wait_until(done: Callable[[], bool], seconds: float, every: float = POLL_SECONDS) -> bool:
    """Wait for a condition; returns False if it was not met in time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= end:
            return False
        time.sleep(every)
    return True


def _born_by_proc(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    # The start time counts from the boot, so the boot id is part of the identity.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def _born_by_ps(pid: int) -> str | None:
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(maxsplit=1)
    if len(shown) < 2 or shown[0].startswith("Z"):
        return None
    return "_".join(shown[1].split())
