"""dlib's face embedder: a residual network of 29 layers, 150x150 pixels to 128 numbers.

The architecture is that of dlib's dnn_face_recognition_ex.cpp, the weights those of
dlib_face_recognition_resnet_model_v1.dat.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.models.conversion.dlib_weights import read_layers
from workers.models.conversion.layers import NO_SIDES, Layers, Sides, Weights, fold

SIDE = 150
DIMENSION = 128

# The width of each residual block; a block that halves the picture is written as a negative one.
_BLOCKS = (32, 32, 32, -64, 64, 64, 64, -128, 128, 128, -256, 256, 256, -256)

# A halving block's convolution drops the last row and column of these sides; its shortcut keeps them.
_UNEVEN = (8, 4)

_Parameters = Iterator[tuple[str, NDArray[np.float32]]]


def build(layers: Layers, source: bytes) -> Sequence[Any]:
    """Input [N, 3, 150, 150], RGB, (x - mean) / 256; output [N, 128]. Raises ValueError."""
    parameters = read_layers(source)
    x = layers.input(3, SIDE, SIDE)
    x = layers.relu(_convolution(layers, x, parameters, (32, 3, 7, 7), stride=2))
    x = layers.max_pool(x, size=3, stride=2)
    width, side = 32, 35
    for block in _BLOCKS:
        x = _block(layers, x, parameters, width, block, uneven=side in _UNEVEN)
        if block < 0:
            side //= 2
        width = abs(block)
    weight = _take(parameters, "fc_2", width * DIMENSION).reshape(width, DIMENSION)
    if next(parameters, None) is not None:
        raise ValueError("the file has more layers than dlib's face network")
    return (layers.linear(layers.global_average(x), weight),)


def _block(layers: Layers, x: Any, parameters: _Parameters, before: int, block: int, *, uneven: bool) -> Any:
    width, halving = abs(block), block < 0
    pad: Sides = NO_SIDES if halving else (1, 1, 1, 1)
    inner = _convolution(layers, x, parameters, (width, before, 3, 3), stride=2 if halving else 1, pad=pad)
    inner = _convolution(layers, layers.relu(inner), parameters, (width, width, 3, 3), pad=(1, 1, 1, 1))
    if halving and uneven:
        inner = layers.zero_pad(inner, (0, 1, 0, 1))
    shortcut = _halve(layers, x, before, width) if halving else x
    return layers.relu(layers.add(inner, shortcut))


def _halve(layers: Layers, x: Any, before: int, width: int) -> Any:
    """The mean of each 2x2 pixels, and channels of zeros up to `width`: both in one convolution."""
    weight = np.zeros((width, before, 2, 2), dtype=np.float32)
    weight[np.arange(before), np.arange(before)] = 0.25
    return layers.convolution(x, weight, np.zeros(width, dtype=np.float32), stride=2)


def _convolution(
    layers: Layers,
    x: Any,
    parameters: _Parameters,
    shape: tuple[int, int, int, int],
    *,
    stride: int = 1,
    pad: Sides = NO_SIDES,
) -> Any:
    """A convolution and the affine layer after it, as one."""
    size, width = int(np.prod(shape)), shape[0]
    values = _take(parameters, "con_4", size + width)
    affine = _take(parameters, "affine_", 2 * width)
    weight, bias = fold(values[:size].reshape(shape), values[size:], affine[:width], affine[width:])
    return layers.convolution(x, weight, bias, stride=stride, pad=pad)


def _take(parameters: _Parameters, kind: str, size: int) -> Weights:
    found, values = next(parameters, ("the end", np.zeros(0, dtype=np.float32)))
    if (found, values.size) != (kind, size):
        raise ValueError(f"{kind} with {size} numbers was expected, not {found} with {values.size}")
    return values
