"""A small network of every layer that conversions use, and the same layers in plain numpy.

`python -m tests.integration.models.every_layer FOLDER` writes that network as a Paddle program, in a process
of its own because of the flag that Paddle reads when it is imported.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.models.conversion.layers import NO_SIDES, Layers, Sides, Weights

Tensor = NDArray[np.float64]


def build(layers: Layers, random: np.random.Generator) -> Sequence[Any]:
    """Input [N, 3, 16, 24]; outputs probabilities [N, 5] and a map [N, 4, 12, 16]."""

    def weights(*shape: int) -> Weights:
        return random.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)

    x = layers.input(3, 16, 24)
    x = layers.convolution(x, weights(8, 3, 3, 3), weights(8), stride=2, pad=(0, 1, 0, 1))
    x = layers.relu(x, 6)
    x = layers.add(x, layers.convolution(x, weights(8, 1, 3, 3), weights(8), pad=(1, 1, 1, 1), groups=8))
    x = layers.relu(layers.max_pool(x, size=3, stride=2))
    x = layers.zero_pad(x, (1, 2, 0, 3))
    wide = layers.transposed_convolution(x, weights(8, 4, 2, 2), weights(4), stride=2)
    logits = layers.linear(layers.global_average(x), weights(8, 5), weights(5))
    return layers.softmax(logits), layers.sigmoid(wide)


class NumpyLayers:
    """The layers, computed at once in double precision."""

    def __init__(self, x: NDArray[np.float32]) -> None:
        self._x = x.astype(np.float64)

    def input(self, channels: int, height: int = -1, width: int = -1) -> Tensor:
        assert self._x.shape[1:] == (channels, height, width)
        return self._x

    def convolution(
        self,
        x: Tensor,
        weight: Weights,
        bias: Weights,
        *,
        stride: int = 1,
        pad: Sides = NO_SIDES,
        groups: int = 1,
    ) -> Tensor:
        windows = np.lib.stride_tricks.sliding_window_view(
            self.zero_pad(x, pad), weight.shape[2:], axis=(2, 3)
        )
        parts = np.split(windows[:, :, ::stride, ::stride], groups, axis=1)
        filters = np.split(weight.astype(np.float64), groups)
        sums = [np.einsum("nchwij,ocij->nohw", part, each) for part, each in zip(parts, filters, strict=True)]
        return np.concatenate(sums, axis=1) + bias[:, np.newaxis, np.newaxis]

    def transposed_convolution(self, x: Tensor, weight: Weights, bias: Weights, *, stride: int) -> Tensor:
        items, _, rows, columns = x.shape
        _, out, high, wide = weight.shape
        result = np.zeros((items, out, (rows - 1) * stride + high, (columns - 1) * stride + wide))
        for i in range(high):
            for j in range(wide):
                share = np.einsum("nchw,co->nohw", x, weight[:, :, i, j].astype(np.float64))
                result[:, :, i : i + rows * stride : stride, j : j + columns * stride : stride] += share
        return result + bias[:, np.newaxis, np.newaxis]

    def relu(self, x: Tensor, ceiling: int | None = None) -> Tensor:
        return np.clip(x, 0, ceiling)

    def sigmoid(self, x: Tensor) -> Tensor:
        return np.asarray(1 / (1 + np.exp(-x)))

    def softmax(self, x: Tensor) -> Tensor:
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def max_pool(self, x: Tensor, *, size: int, stride: int) -> Tensor:
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
        return np.asarray(windows[:, :, ::stride, ::stride].max(axis=(-2, -1)))

    def zero_pad(self, x: Tensor, pad: Sides) -> Tensor:
        top, bottom, left, right = pad
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def global_average(self, x: Tensor) -> Tensor:
        return np.asarray(x.mean(axis=(2, 3)))

    def linear(self, x: Tensor, weight: Weights, bias: Weights | None = None) -> Tensor:
        return np.asarray(x @ weight.astype(np.float64) + (0 if bias is None else bias))


def main() -> None:
    os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 (Paddle's spelling)
    from workers.models.conversion.paddle_program import PaddleProgram

    folder = Path(sys.argv[1])
    for turn in range(2):
        with PaddleProgram() as program:
            graph, params = program.serialize(build(program, np.random.default_rng(5)))
        (folder / f"graph_{turn}").write_bytes(graph)
        (folder / f"params_{turn}").write_bytes(params)


if __name__ == "__main__":
    main()
