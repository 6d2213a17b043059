"""A started model process: its sockets, its memory and how it ends.

The kernel kills it when the thread that started it ends (process.py asks for that), so start it from a thread
that lives as long as the process is needed.
"""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.inference.host_config import HostConfig, LoadedModel
from workers.inference.lane import Lane
from workers.processes.arena import Arena
from workers.processes.frames import BrokenFrameError, receive_frame, send_frame

_ROOT: Final = Path(__file__).parents[2]
_STATM: Final = "/proc/{}/statm"
log = logging.getLogger(__name__)


class ModelChild:
    """`links` has a socket for each lane; `running` is 0, or one more than the lane whose batch it runs.

    `culprit` is None until the process is known to have ended, then the lane whose batch it was running, or
    -1. `users` counts the batches that wait for it; `loaded_bytes` is its memory once its models are loaded.
    """

    def __init__(self, lanes: Sequence[Lane], environment: Mapping[str, str]) -> None:
        self.links: list[socket.socket] = []
        self.users = 0
        self.culprit: int | None = None
        self.loaded_bytes = 0
        self._control = Arena()
        self.running: NDArray[np.uint8] = self._control.view(0, (1,), np.uint8)
        hold, lifeline = os.pipe()
        self._lifeline: int | None = lifeline
        theirs: list[socket.socket] = []
        lane_arguments = []
        for lane in lanes:
            link, end = socket.socketpair()
            self.links.append(link)
            theirs.append(end)
            lane_arguments += ["--lane", f"{end.fileno()},{lane.inputs.fd},{lane.outputs.fd}"]
        fds = [end.fileno() for end in theirs] + [hold, self._control.fd]
        fds += [fd for lane in lanes for fd in (lane.inputs.fd, lane.outputs.fd)]
        command = [sys.executable, "-m", "workers.inference.process"]
        command += ["--control", str(self._control.fd), "--lifeline", str(hold), *lane_arguments]
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

    def load(self, config: HostConfig) -> dict[str, LoadedModel]:
        """Load the models. Raises ModelUnavailable after ending the process."""
        try:
            loaded = self._exchange_models(config)
        except ModelUnavailable:
            self.end()
            raise
        for link in self.links:
            link.settimeout(config.batch_timeout)
        self.loaded_bytes = self.resident_bytes()
        maximum = config.memory.maximum
        if maximum and self.loaded_bytes > maximum:
            self.end()
            raise ModelUnavailable(
                f"The models take {self.loaded_bytes >> 20} MB before the first batch, and may take "
                f"{maximum >> 20} MB: raise PADDLEWHEEL_MODEL_MEMORY_MAX or serve fewer models."
            )
        return loaded

    def _exchange_models(self, config: HostConfig) -> dict[str, LoadedModel]:
        link = self.links[0]
        link.settimeout(config.start_timeout)
        request = {
            "models": [{**asdict(model), "path": str(model.path)} for model in config.models],
            "ceiling": config.memory.ceiling,
            "log_level": logging.getLevelName(log.getEffectiveLevel()),
        }
        try:
            send_frame(link, request)
            reply = receive_frame(link)
        except TimeoutError as err:
            raise ModelUnavailable(f"The models were not loaded within {config.start_timeout:g} s.") from err
        except (EOFError, OSError, ValueError, BrokenFrameError) as err:
            raise ModelUnavailable(f"The model process died while it loaded its models: {err}.") from err
        if "error" in reply:
            raise ModelUnavailable(reply["error"])
        return {name: LoadedModel(**each) for name, each in reply["ready"].items()}

    def resident_bytes(self) -> int:
        """Its own memory, without what it shares with the worker; 0 where the system does not report it."""
        try:
            resident, shared = Path(_STATM.format(self.pid)).read_text().split()[1:3]
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """Kill it; threads that wait for it read the end of their link. A second call does nothing."""
        if self.culprit is None:
            self._process.kill()
            self._process.wait()
            self.culprit = int(self.running[0]) - 1

    def dispose(self) -> None:
        """Kill it and close its descriptors, whose numbers are soon reused: no thread may wait for it."""
        self.end()
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        for link in self.links:
            link.close()
        self.running = np.zeros(1, np.uint8)
        self._control.close()

    def dispose_if_unused(self) -> None:
        """Dispose of it unless a batch still waits for it."""
        if not self.users:
            self.dispose()
