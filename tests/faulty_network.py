"""A network for fault tests: doubles its input, and does what the first value of an item says."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.models.engines.session import ItemShapes, SessionOptions
from workers.models.families.network import Network
from workers.models.home.directory import ModelDirectory
from workers.processes.arena import Arena
from workers.processes.frames import send_frame

CRASH, HANG, RAISE = -1.0, -2.0, -3.0
GARBAGE, OTHER_BATCH, OUT_OF_MEMORY, OOM_KILLED, LEAK, RUNAWAY = -4.0, -5.0, -6.0, -7.0, -8.0, -9.0
LEAK_BYTES = 32 << 20
BLACK, WHITE = -1.0, 1.0
"""Tensors of lines of one colour, after normalisation."""


class FaultyNetwork:
    """Engine and device are made up."""

    engine = "faulty"
    device = "cpu"

    def forward(self, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        first = set(batch.reshape(len(batch), -1)[:, 0].tolist())
        if CRASH in first:
            os.kill(os.getpid(), signal.SIGSEGV)
        if HANG in first:
            time.sleep(3600)
        if RAISE in first:
            raise ValueError("the model does not like it")
        for fault, happen in MISHAPS.items():
            if fault in first:
                happen()
        return (batch * 2, np.full(len(batch), os.getpid(), dtype=np.int64))

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        for (shape,) in items:
            self.forward(np.zeros((1, *shape), dtype=np.float32))


def _link() -> int:
    """The descriptor of the link whose batch is being run."""
    running = Arena(int(sys.argv[sys.argv.index("--control") + 1])).view(0, (1,), np.uint8)
    lanes = [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "--lane"]
    return int(lanes[int(running[0]) - 1].split(",")[0])


def _send_garbage() -> None:
    os.write(_link(), b"\x00\x00\x00\x05What?")


def _answer_another_batch() -> None:
    link = socket.socket(fileno=os.dup(_link()))
    send_frame(link, {"number": 999_999, "places": [], "arena": 1, "model_ms": 0.0})


def _run_out_of_memory() -> None:
    np.empty(1 << 60, np.uint8)


def _be_killed() -> None:
    """As by the system when its memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


_leaked: list[NDArray[np.uint8]] = []


def leak() -> None:
    _leaked.append(np.ones(LEAK_BYTES, np.uint8))


def run_away() -> None:
    while True:
        # What the kernel refuses is not the end: it is for the worker to end this.
        with contextlib.suppress(MemoryError):
            leak()
        time.sleep(0.02)


MISHAPS = {
    GARBAGE: _send_garbage,
    OTHER_BATCH: _answer_another_batch,
    OUT_OF_MEMORY: _run_out_of_memory,
    OOM_KILLED: _be_killed,
    LEAK: leak,
    RUNAWAY: run_away,
}


def open_faulty(path: Path, options: SessionOptions) -> FaultyNetwork:
    """The loader."""
    del path, options
    return FaultyNetwork()


class MarkedNetwork:
    """A real network, except for images of one colour: each colour is a fault."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.engine = network.engine
        self.device = network.device

    def forward(self, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        for item in batch:
            if item.min() == item.max():
                _misbehave(float(item.flat[0]))
        outputs = self._network.forward(batch)
        if any(item[0].min() == item[0].max() for item in batch):
            return outputs[:1]
        return outputs

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        self._network.warm_up(items)


def _misbehave(value: float) -> None:
    if value == BLACK:
        os.kill(os.getpid(), signal.SIGSEGV)
    if value == WHITE:
        time.sleep(3600)
    raise ValueError("a grey line")


def open_marked(path: Path, options: SessionOptions) -> MarkedNetwork:
    """The real network behind the faults."""
    return MarkedNetwork(Network(ModelDirectory.open(path), options))


def open_once(path: Path, options: SessionOptions) -> MarkedNetwork:
    """Loads the first time only: a process that dies cannot be replaced."""
    flag = Path(os.environ["FAULTY_FLAG"])
    if flag.exists() and flag.read_text() != str(os.getpid()):
        raise ModelUnavailable("the weights have gone")
    flag.write_text(str(os.getpid()))
    return open_marked(path, options)


class SlowNetwork(MarkedNetwork):
    """Takes ten seconds for a white image, and leaves a mark for each time."""

    def forward(self, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        if any(item.min() == item.max() == WHITE for item in batch):
            with Path(os.environ["FAULTY_FLAG"]).open("a") as marks:
                marks.write("x")
            time.sleep(10)
        return self._network.forward(batch)


def open_slow(path: Path, options: SessionOptions) -> SlowNetwork:
    """The real network behind a wait."""
    return SlowNetwork(Network(ModelDirectory.open(path), options))


def open_missing(path: Path, options: SessionOptions) -> FaultyNetwork:
    """A loader that finds no weights."""
    del options
    raise ModelUnavailable(f"{path} holds no weights")


def open_crashing(path: Path, options: SessionOptions) -> FaultyNetwork:
    """A loader that takes the process with it."""
    del path, options
    os.abort()
