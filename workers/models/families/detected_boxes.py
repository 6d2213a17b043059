"""A detector's outputs for a batch, made into one array with an equal number of rows for each item.

The networks that PaddleX exports answer with the boxes of all items below each other and with the number of
boxes of each; the items of a batch belong to different callers.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NO_CLASS: Final = -1.0
"""The class of a row that is no box."""

_COLUMNS: Final = 6


def boxes_by_item(boxes: NDArray[Any], counts: NDArray[Any], items: int) -> NDArray[np.float32]:
    """Boxes [M, 6] (class, score, x1, y1, x2, y2) and their counts [N] to [N, K, 6], K at least 1.

    Rows beyond an item's own have the class -1. Raises ValueError when the boxes do not fit the counts.
    """
    numbers = _numbers(counts, items)
    if sum(numbers) > len(boxes) or (any(numbers) and boxes.shape[1:] != (_COLUMNS,)):
        raise ValueError(f"boxes {boxes.shape} for counts {numbers}")
    rows = np.zeros((items, max(1, *numbers), _COLUMNS), dtype=np.float32)
    rows[:, :, 0] = NO_CLASS
    if any(numbers):
        own = np.arange(rows.shape[1]) < np.array(numbers)[:, np.newaxis]
        rows[own] = boxes[: sum(numbers)]
    return rows


def _numbers(counts: NDArray[Any], items: int) -> Sequence[int]:
    numbers = [int(number) for number in counts.reshape(-1)]
    if len(numbers) != items or min(numbers) < 0:
        raise ValueError(f"counts {numbers} for {items} items")
    return numbers
