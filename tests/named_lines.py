"""Lines that carry a number in bars, and a network that reads it: the right answer names its caller.

A line also says what is to happen to the process that reads it, so that any fault can be put between
thousands of good lines.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from local.rendering import png
from paddlewheel.errors import ModelUnavailable
from tests.faulty_network import leak, run_away
from workers.models.engines.session import ItemShapes, SessionOptions
from workers.models.home.directory import ModelDirectory

BITS = 28
HEIGHT, WIDTH = 48, 320
BAR = WIDTH // 32


class Fault(IntEnum):
    """What a line does besides being read."""

    NONE = 0
    CRASH = 1
    HANG = 2
    RAISE = 3
    KILLED = 4
    NO_MEMORY = 5
    LEAK = 6
    SLOW_ONCE = 7
    RUNAWAY = 8
    GREEDY = 9


def draw_named(number: int, fault: Fault = Fault.NONE) -> bytes:
    """A PNG of 32 bars, white for 1: four bits of fault, 28 of the number."""
    value = (int(fault) << BITS) | number
    bits = [(value >> i) & 1 for i in range(32)]
    row = np.repeat(np.array(bits, np.uint8) * 255, BAR)
    return png(Image.fromarray(np.broadcast_to(row, (HEIGHT, WIDTH)).copy()))


class NamedNetwork:
    """Reads the number as digits; takes FAULTY_PACE seconds for a batch."""

    engine = "faulty"
    device = "cpu"

    def __init__(self, characters: list[str]) -> None:
        self._classes = np.array([characters.index(str(digit)) + 1 for digit in range(10)])
        self._pace = float(os.environ.get("FAULTY_PACE", "0"))

    def forward(self, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        bits = batch[:, 0, HEIGHT // 2, BAR // 2 : WIDTH : BAR] > 0
        values = bits @ (1 << np.arange(32, dtype=np.int64))
        for fault in {int(value) >> BITS for value in values}:
            misbehave(Fault(fault))
        time.sleep(self._pace)
        # Blanks between the digits: equal neighbours would be joined.
        classes = np.zeros((len(batch), 20), np.int64)
        for row, value in enumerate(values):
            digits = [int(digit) for digit in str(int(value) & ((1 << BITS) - 1))]
            classes[row, : 2 * len(digits) : 2] = self._classes[digits]
        return classes, np.ones(classes.shape, np.float32)

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        del items


def misbehave(fault: Fault) -> None:
    match fault:
        case Fault.CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        case Fault.KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.HANG:
            time.sleep(3600)
        case Fault.RAISE:
            raise ValueError("the model does not like it")
        case Fault.NO_MEMORY:
            np.empty(1 << 60, np.uint8)
        case Fault.LEAK:
            leak()
        case Fault.SLOW_ONCE:
            _be_slow_once()
        case Fault.RUNAWAY:
            run_away()
        case Fault.GREEDY:
            # More than the process may have, and less than a machine lends it: it is never written.
            np.empty(16 << 30, np.uint8)


def _be_slow_once() -> None:
    with Path(os.environ["FAULTY_FLAG"]).open("a+") as marks:
        marks.write("x")
        marks.flush()
        if marks.tell() == 1:
            time.sleep(60)


@lru_cache
def _characters(path: Path) -> list[str]:
    found = ModelDirectory.open(path).config.get("PostProcess", {}).get("character_dict")
    return list(map(str, found)) if found else list("0123456789")


def open_named(path: Path, options: SessionOptions) -> NamedNetwork:
    """The loader. While the file FAULTY_WEIGHTS_GONE exists there is nothing to load."""
    del options
    gone = os.environ.get("FAULTY_WEIGHTS_GONE")
    if gone and Path(gone).exists():
        raise ModelUnavailable("the weights have gone")
    time.sleep(float(os.environ.get("FAULTY_LOAD_SECONDS", "0")))
    return NamedNetwork(_characters(path))


if __name__ == "__main__":
    from workers.__main__ import main

    sys.exit(main(loader="tests.named_lines:open_named"))
