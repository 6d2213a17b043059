"""One engine in a process of its own, seen from the worker that tries it."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from workers.models.engines.session import EngineName, SessionOptions
from workers.models.engines.trial import Arrays, read_arrays
from workers.processes.frames import BrokenFrameError, receive_frame, send_frame

OPEN_ENGINE: Final = "workers.models.engines.trial:open_engine"
_ROOT: Final = Path(__file__).parents[3]


class TrialFailedError(Exception):
    """The engine could not be tried; the message says why."""


class EngineTrialProcess:
    """Tries models on one engine. Not safe to use from two threads at once.

    A process that died or was given up is replaced when the next model is opened.
    """

    def __init__(
        self, engine: EngineName, environment: Mapping[str, str], *, opener: str = OPEN_ENGINE
    ) -> None:
        """`environment` is what the model process will have, so that thread pools are of the same size."""
        self.engine = engine
        self._environment = environment
        self._opener = opener
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process if there is none. The thread that calls this has to outlive it."""
        if self._process is not None:
            return
        self._link, end = socket.socketpair()
        level = logging.getLevelName(logging.getLogger(__name__).getEffectiveLevel())
        with end:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "workers.models.engines.trial"),
                    *("--link", str(end.fileno()), "--log-level", level),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[end.fileno()],
                cwd=_ROOT,
                env={**os.environ, **self._environment},
            )

    def open(
        self,
        path: Path,
        options: SessionOptions,
        samples: Sequence[Path],
        outputs: Path,
        *,
        timeout: float,
    ) -> list[Arrays]:
        """Load a model and answer each sample once; `outputs` is a folder to pass them through.

        Raises TrialFailedError.
        """
        request = {
            "opener": self._opener,
            "path": str(path.absolute()),
            "options": asdict(options),
            "samples": [str(each) for each in samples],
            "outputs": str(outputs),
        }
        self._ask({"open": request}, timeout)
        return [read_arrays(outputs / f"{number}.npz") for number in range(len(samples))]

    def milliseconds(self, sample: int, *, timeout: float) -> float:
        """The time of one run of a sample. Raises TrialFailedError."""
        return float(self._ask({"run": sample}, timeout)["milliseconds"])

    def close(self) -> None:
        """End the process; a second call does nothing."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        if self._link is None:
            raise TrialFailedError("its process is not running")
        self._link.settimeout(max(timeout, 0.01))
        try:
            send_frame(self._link, request)
            reply = receive_frame(self._link)
        except TimeoutError as err:
            self.close()
            raise TrialFailedError(f"gave no answer within {timeout:.0f} s") from err
        except (EOFError, OSError, BrokenFrameError) as err:
            raise TrialFailedError(f"its process died{self._exit_status()}") from err
        if "error" in reply:
            raise TrialFailedError(str(reply["error"]))
        return reply

    def _exit_status(self) -> str:
        process = self._process
        if process is not None:
            process.kill()
            code = process.wait()
            self.close()
            return f" with status {code}"
        return ""
