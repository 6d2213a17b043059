"""What the batcher takes and gives back: one item of a task, and its answer."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from tasks.context import TaskContext

BULK_PATIENCE: Final = 2.0
"""Seconds for which interactive items overtake a bulk item."""

Bucket = tuple[str, tuple[tuple[tuple[int, ...], str], ...]]
"""A model, and the shape and dtype of each tensor: items of one bucket fit into one batch."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One item's outputs, without the batch dimension, and its batch's size and times (milliseconds)."""

    outputs: tuple[NDArray[Any], ...]
    batch_size: int
    batch_wait_ms: float
    model_ms: float


@dataclass(frozen=True, eq=False)
class BatchItem:
    """`arrived` is the batcher's clock; `future` gets the answer or the item's typed error."""

    id: int
    model: str
    tensors: tuple[NDArray[Any], ...]
    task: TaskContext
    arrived: float
    future: "Future[Answer]"

    @property
    def due(self) -> float:
        """The item with the earliest time comes first."""
        return self.arrived + (BULK_PATIENCE if self.task.priority == "bulk" else 0.0)

    @property
    def bucket(self) -> Bucket:
        """The items that it can share a batch with."""
        return self.model, tuple((each.shape, each.dtype.str) for each in self.tensors)
