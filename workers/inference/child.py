"""A model process that was started: its links, its memory, its end.

It ends with the thread that started it (process.py asks the kernel for that), so it has to be
started by a thread that lives as long as it is wanted.
"""

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.processes.arena import Arena
from workers.processes.frames import BrokenFrameError, receive_frame, send_frame

_ROOT: Final = Path(__file__).parents[2]
_STATM: Final = "/proc/{}/statm"
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")
log = logging.getLogger(__name__)


class LaneBuffers(Protocol):
    """The two blocks of memory of a lane, which outlive the processes that use them."""

    inputs: Arena
    outputs: Arena


class ModelChild:
    """`links` has a socket for each lane; `running` is 0, or one more than the lane whose batch it runs.

    `culprit` is the lane whose batch ended it, once it is known to have ended; `users` counts batches that
    wait for it; `loaded_bytes` is its memory after it has loaded its models.
    """

    def __init__(self, lanes: Sequence[LaneBuffers], environment: Mapping[str, str]) -> None:
        self.links: list[socket.socket] = []
        self.users = 0
        self.culprit: int | None = None
        self.loaded_bytes = 0
        self._control = Arena()
        self.running: NDArray[np.uint8] = self._control.view(0, (1,), np.uint8)
        hold, lifeline = os.pipe()
        self._lifeline: int | None = lifeline
        theirs: list[socket.socket] = []
        words = []
        for lane in lanes:
            link, end = socket.socketpair()
            self.links.append(link)
            theirs.append(end)
            words += ["--slot", f"{end.fileno()},{lane.inputs.fd},{lane.outputs.fd}"]
        fds = [end.fileno() for end in theirs] + [hold, self._control.fd]
        fds += [fd for lane in lanes for fd in (lane.inputs.fd, lane.outputs.fd)]
        command = [sys.executable, "-m", "workers.inference.process"]
        command += ["--control", str(self._control.fd), "--lifeline", str(hold), *words]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                cwd=_ROOT,
                env={**os.environ, **environment},
            )
        finally:
            os.close(hold)
            for end in theirs:
                end.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def greet(
        self, models: Sequence[dict[str, Any]], *, ceiling: int, start_timeout: float, link_timeout: float
    ) -> dict[str, dict[str, str]]:
        """Have it load its models; what each runs on. Raises ModelUnavailable, and then it has ended.

        `ceiling` is in bytes; see workers/inference/memory.py.
        """
        link = self.links[0]
        link.settimeout(start_timeout)
        level = logging.getLevelName(log.getEffectiveLevel())
        try:
            send_frame(link, {"models": models, "ceiling": ceiling, "log_level": level})
            reply = receive_frame(link)
        except TimeoutError as err:
            self.end()
            raise ModelUnavailable(f"The models were not loaded within {start_timeout:g} s.") from err
        except (EOFError, OSError, ValueError, BrokenFrameError) as err:
            self.end()
            raise ModelUnavailable(f"The model process died while it loaded its models: {err}.") from err
        if "error" in reply:
            self.end()
            raise ModelUnavailable(reply["error"])
        for each in self.links:
            each.settimeout(link_timeout)
        self.loaded_bytes = self.resident_bytes()
        ready: dict[str, dict[str, str]] = reply["ready"]
        return ready

    def resident_bytes(self) -> int:
        """Its own memory, without what it shares with the worker; 0 where the system does not tell."""
        try:
            resident, shared = Path(_STATM.format(self.pid)).read_text().split()[1:3]
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """Kill it. Whoever waits for it reads the end of its link; a second call does nothing."""
        if self.culprit is None:
            self._process.kill()
            self._process.wait()
            self.culprit = int(self.running[0]) - 1

    def dispose(self) -> None:
        """Kill it and close everything, once nobody waits for it: descriptors are soon somebody else's."""
        self.end()
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        for link in self.links:
            link.close()
        self.running = np.zeros(1, np.uint8)
        self._control.close()


def free_bytes() -> int:
    """Memory that a new process may take, of the machine and of the container; 0 where nothing tells."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):  # no limit reads `max`
        limit, taken = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(limit - taken)
    return max(0, min(found, default=0))
