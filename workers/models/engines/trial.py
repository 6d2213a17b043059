"""A process in which engines are tried: a crash, a hang or a leak here does not harm the worker.

Run by `workers.models.engines.trial_process`, one for each engine. It opens one model after the other,
answers samples and reports how long they took; the worker ends it.
"""

import argparse
import importlib
import logging
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import PaddlewheelError
from workers.models.engines.opening import open_session
from workers.models.engines.session import Session, SessionOptions
from workers.models.home.directory import ModelDirectory
from workers.processes.frames import receive_frame, send_frame
from workers.processes.parent_death import die_with_the_parent

Arrays = tuple[NDArray[Any], ...]


def open_engine(path: Path, options: SessionOptions) -> Session:
    """Open the directory's network on the engine that the options name."""
    return open_session(ModelDirectory.open(path), options)


class ModelTrial:
    """The model that is tried now."""

    def __init__(self, session: Session, samples: list[Arrays]) -> None:
        self._session = session
        self._samples = samples

    def write_outputs(self, folder: Path) -> None:
        """Answer every sample once: it is what engines do most of their preparation in."""
        for number, sample in enumerate(self._samples):
            write_arrays(folder / f"{number}.npz", self._session.run(*sample))

    def milliseconds(self, number: int) -> float:
        """The time of one run."""
        began = time.perf_counter()
        self._session.run(*self._samples[number])
        return (time.perf_counter() - began) * 1000


def write_arrays(file: Path, arrays: Arrays) -> None:
    """Write arrays in their order."""
    np.savez(file, *arrays)


def read_arrays(file: Path) -> Arrays:
    """Read what `write_arrays` wrote, without unpickling."""
    with np.load(file, allow_pickle=False) as stored:
        return tuple(stored[name] for name in stored.files)


def serve(link: socket.socket) -> None:
    """Answer until the worker closes the socket."""
    trial: ModelTrial | None = None
    while True:
        try:
            request = receive_frame(link)
        except (EOFError, ConnectionError):
            return
        try:
            if "open" in request:
                trial = None  # let the memory of the model before go first
                trial = _open(request["open"])
                reply: dict[str, Any] = {"opened": True}
            elif trial is None:
                reply = {"error": "no model is open"}
            else:
                reply = {"milliseconds": trial.milliseconds(request["run"])}
        except PaddlewheelError as err:
            reply = {"error": err.message}
        except Exception as err:
            reply = {"error": f"{type(err).__name__}: {str(err)[:300]}"}
        send_frame(link, reply)


def _open(request: dict[str, Any]) -> ModelTrial:
    module, _, function = request["opener"].partition(":")
    opener: Callable[[Path, SessionOptions], Session] = getattr(importlib.import_module(module), function)
    session = opener(Path(request["path"]), SessionOptions(**request["options"]))
    trial = ModelTrial(session, [read_arrays(Path(file)) for file in request["samples"]])
    trial.write_outputs(Path(request["outputs"]))
    return trial


def main() -> None:
    """Serve the link that was handed down."""
    parser = argparse.ArgumentParser(prog="python -m workers.models.engines.trial", description=__doc__)
    parser.add_argument("--link", type=int, required=True, help="descriptor of the socket to the worker")
    parser.add_argument("--log-level", default="WARNING")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_the_parent()
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    serve(socket.socket(fileno=given.link))


if __name__ == "__main__":
    main()
