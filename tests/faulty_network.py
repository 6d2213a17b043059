"""A network for fault tests: doubles its input, and does what the first value of an item says."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api_client.errors import ModelUnavailable
from workers.models.session import SessionOptions

CRASH, HANG, RAISE, WRONG_SHAPE = -1.0, -2.0, -3.0, -4.0


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
        return (batch * 2, np.full(len(batch), os.getpid(), dtype=np.int64))

    def warm_up(self, shapes: Iterable[tuple[int, ...]]) -> None:
        for shape in shapes:
            self.forward(np.zeros((1, *shape), dtype=np.float32))


def open_faulty(path: Path, options: SessionOptions) -> FaultyNetwork:
    """The loader."""
    del path, options
    return FaultyNetwork()


def open_missing(path: Path, options: SessionOptions) -> FaultyNetwork:
    """A loader that finds no weights."""
    del options
    raise ModelUnavailable(f"{path} holds no weights")


def open_crashing(path: Path, options: SessionOptions) -> FaultyNetwork:
    """A loader that takes the process with it."""
    del path, options
    os.abort()
