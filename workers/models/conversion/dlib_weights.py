"""The weights in a network that dlib serialised (dlib/dnn/layers.h), without dlib.

A layer's parameters follow its name: `con_4` and `affine_` at once, `fc_2` after its two sizes. An integer is
a byte, whose low four bits are the number of bytes that follow and whose high bit is the sign, and these
bytes, the lowest first. A tensor is the integer 2, its four dimensions, and its values in float32.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SIZES_BEFORE = {"con_4": 0, "affine_": 0, "fc_2": 2}
_TENSOR = 2


def read_layers(data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each layer's kind and parameters (one dimension), from input to output. Raises ValueError."""
    at = 0
    while (found := _next_name(data, at)) is not None:
        kind, at = found
        for _ in range(_SIZES_BEFORE[kind]):
            _, at = _integer(data, at)
        values, at = _tensor(data, at)
        yield kind, values


def _next_name(data: bytes, at: int) -> tuple[str, int] | None:
    """The next layer's kind, and where its name ends. A string is preceded by its length."""
    found = []
    for kind in _SIZES_BEFORE:
        name = bytes([1, len(kind)]) + kind.encode()
        place = data.find(name, at)
        if place >= 0:
            found.append((place, kind, place + len(name)))
    return min(found)[1:] if found else None


def _tensor(data: bytes, at: int) -> tuple[NDArray[np.float32], int]:
    version, at = _integer(data, at)
    if version != _TENSOR:
        raise ValueError(f"there is no tensor at byte {at}")
    dimensions = []
    for _ in range(4):
        dimension, at = _integer(data, at)
        dimensions.append(dimension)
    end = at + 4 * math.prod(dimensions)
    if min(dimensions) < 0 or end > len(data):
        raise ValueError("the file is cut off")
    return np.frombuffer(data[at:end], "<f4"), end


def _integer(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise ValueError("the file is cut off")
    size, negative = data[at] & 0x0F, data[at] & 0x80
    value = int.from_bytes(data[at + 1 : at + 1 + size], "little")
    return -value if negative else value, at + 1 + size
