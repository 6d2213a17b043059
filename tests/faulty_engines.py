"""Engines for fault tests: the real one, except that OpenVINO misbehaves."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from workers.models.engines.session import Session, SessionOptions
from workers.models.engines.trial import open_engine


class _Shifted:
    """Answers with a little more than the network's outputs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.engine = session.engine
        self.device = session.device

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return tuple(output + 0.01 for output in self._session.run(*inputs))


def open_wrong(path: Path, options: SessionOptions) -> Session:
    """OpenVINO is right to the first digit only."""
    session = open_engine(path, options)
    return _Shifted(session) if options.engine == "openvino" else session


def open_crashing(path: Path, options: SessionOptions) -> Session:
    """OpenVINO takes its process with it."""
    if options.engine == "openvino":
        os.kill(os.getpid(), signal.SIGSEGV)
    return open_engine(path, options)


def open_hanging(path: Path, options: SessionOptions) -> Session:
    """OpenVINO never answers."""
    if options.engine == "openvino":
        time.sleep(3600)
    return open_engine(path, options)
