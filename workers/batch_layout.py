"""How a batch lies in shared memory: its number, its items' ids, then its arrays.

The ids go in with the tensors and come back with the outputs; the worker compares them, so that an answer
from another batch or in another order can never reach a caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.arena import ALIGNMENT, Arena, aligned


@dataclass(frozen=True, kw_only=True)
class ArrayPlace:
    """Where an array lies."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def write_batch(arena: Arena, number: int, ids: Sequence[int], arrays: Sequence[NDArray[Any]]) -> ArrayPlace:
    """Write equally shaped tensors as one batch (N, ...)."""
    first = arrays[0]
    offset = aligned(ALIGNMENT + 8 * len(ids))
    arena.reserve(offset + first.nbytes * len(arrays))
    _write_head(arena, number, ids)
    place = ArrayPlace(offset=offset, shape=(len(arrays), *first.shape), dtype=first.dtype.str)
    batch = arena.view(place.offset, place.shape, place.dtype)
    for row, array in zip(batch, arrays, strict=True):
        np.copyto(row, array, casting="no")
    return place


def write_outputs(
    arena: Arena, number: int, ids: Sequence[int], outputs: Sequence[NDArray[Any]]
) -> list[ArrayPlace]:
    """Write a batch's outputs, each (N, ...)."""
    places = []
    offset = aligned(ALIGNMENT + 8 * len(ids))
    for array in outputs:
        places.append(ArrayPlace(offset=offset, shape=array.shape, dtype=array.dtype.str))
        offset = aligned(offset + array.nbytes)
    arena.reserve(offset)
    _write_head(arena, number, ids)
    for place, array in zip(places, outputs, strict=True):
        np.copyto(arena.view(place.offset, place.shape, place.dtype), array, casting="no")
    return places


def read_ids(arena: Arena, number: int, count: int) -> list[int] | None:
    """The ids that lie there, or None if the memory holds another batch."""
    if int(arena.view(0, (1,), "<i8")[0]) != number:
        return None
    return [int(each) for each in arena.view(ALIGNMENT, (count,), "<i8")]


def _write_head(arena: Arena, number: int, ids: Sequence[int]) -> None:
    arena.view(0, (1,), "<i8")[0] = number
    arena.view(ALIGNMENT, (len(ids),), "<i8")[:] = ids
