"""How a batch lies in shared memory: its number, its items' ids, then its arrays.

The ids go in with the tensors and come back with the outputs; the worker compares them, so that an answer
from another batch or in another order can never reach a caller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.processes.arena import ALIGNMENT, Arena, align


@dataclass(frozen=True, kw_only=True)
class ArrayPlace:
    """Where an array lies."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def write_batch(
    arena: Arena, number: int, ids: Sequence[int], items: Sequence[Sequence[NDArray[Any]]]
) -> list[ArrayPlace]:
    """Write equally shaped items, each of one or more tensors, as one batch: an array (N, ...) a tensor."""
    places, end = _lay_out(len(ids), [((len(items), *each.shape), each.dtype) for each in items[0]])
    arena.reserve(end)
    _write_head(arena, number, ids)
    for place, column in zip(places, zip(*items, strict=True), strict=True):
        batch = arena.view(place.offset, place.shape, place.dtype)
        for row, tensor in zip(batch, column, strict=True):
            np.copyto(row, tensor, casting="no")
    return places


def write_outputs(
    arena: Arena, number: int, ids: Sequence[int], outputs: Sequence[NDArray[Any]]
) -> list[ArrayPlace]:
    """Write a batch's outputs, each (N, ...)."""
    places, end = _lay_out(len(ids), [(each.shape, each.dtype) for each in outputs])
    arena.reserve(end)
    _write_head(arena, number, ids)
    for place, array in zip(places, outputs, strict=True):
        np.copyto(arena.view(place.offset, place.shape, place.dtype), array, casting="no")
    return places


def read_ids(arena: Arena, number: int, count: int) -> list[int] | None:
    """The ids that lie there, or None if the memory holds another batch."""
    if int(arena.view(0, (1,), "<i8")[0]) != number:
        return None
    return [int(each) for each in arena.view(ALIGNMENT, (count,), "<i8")]


def _lay_out(
    count: int, arrays: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
) -> tuple[list[ArrayPlace], int]:
    """Where arrays lie behind the ids of so many items, and where the last one ends."""
    places = []
    offset = align(ALIGNMENT + 8 * count)
    for shape, dtype in arrays:
        places.append(ArrayPlace(offset=offset, shape=shape, dtype=dtype.str))
        offset = align(offset + math.prod(shape) * dtype.itemsize)
    return places, offset


def _write_head(arena: Arena, number: int, ids: Sequence[int]) -> None:
    arena.view(0, (1,), "<i8")[0] = number
    arena.view(ALIGNMENT, (len(ids),), "<i8")[:] = ids
