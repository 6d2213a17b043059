"""A worker whose model takes 20 ms a batch, whatever its size, and no CPU: what is left is the queue.

python -m benchmarks.fixed_time_worker
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.models.engines.session import ItemShapes, SessionOptions

BATCH_SECONDS: Final = 0.02
_STEPS: Final = 40


class FixedTime:
    """Reads the same short text in every line."""

    engine = "none"
    device = "cpu"

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Best classes [N, T] and their probabilities, as `Network.forward` gives them."""
        time.sleep(BATCH_SECONDS)
        count = len(inputs[0])
        classes = np.zeros((count, _STEPS), np.int32)
        classes[:, ::2] = 1
        return classes, np.ones((count, _STEPS), np.float32)

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        """Nothing to warm."""
        del items


def open_fixed_time(path: Path, options: SessionOptions) -> FixedTime:
    """The loader."""
    del path, options
    return FixedTime()


if __name__ == "__main__":
    from workers.__main__ import main

    sys.exit(main(loader="benchmarks.fixed_time_worker:open_fixed_time"))
