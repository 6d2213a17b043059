"""What a network is built with: the layers that the converted networks need, and no more."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]

Sides = tuple[int, int, int, int]
"""Zeros to add at the top, bottom, left and right."""

NO_SIDES: Sides = (0, 0, 0, 0)


class Layers(Protocol):
    """A network under construction. Tensors are opaque; theirs is [N, channels, height, width]."""

    def input(self, channels: int, height: int = -1, width: int = -1) -> Any:
        """The network's one input; -1 stands for a size that is open."""

    def convolution(
        self,
        x: Any,
        weight: Weights,
        bias: Weights,
        *,
        stride: int = 1,
        pad: Sides = NO_SIDES,
        groups: int = 1,
    ) -> Any:
        """A cross-correlation with `weight` [out, in / groups, height, width], plus `bias` [out]."""

    def transposed_convolution(self, x: Any, weight: Weights, bias: Weights, *, stride: int) -> Any:
        """The transpose of a convolution, `weight` [in, out, height, width], plus `bias` [out]."""

    def relu(self, x: Any, ceiling: int | None = None) -> Any:
        """max(x, 0), and at most `ceiling`, which is 6 or none."""

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + exp(-x))."""

    def softmax(self, x: Any) -> Any:
        """Over the last axis."""

    def add(self, x: Any, y: Any) -> Any:
        """The sum of two tensors of the same shape."""

    def max_pool(self, x: Any, *, size: int, stride: int) -> Any:
        """Windows that do not fit are dropped."""

    def zero_pad(self, x: Any, pad: Sides) -> Any:
        """Zeros around the picture."""

    def global_average(self, x: Any) -> Any:
        """The mean of each channel: [N, channels]."""

    def linear(self, x: Any, weight: Weights, bias: Weights | None = None) -> Any:
        """[N, in] times `weight` [in, out], plus `bias` [out]."""


class NetworkBuilder(Protocol):
    """Puts a network together from the bytes of its source; returns its outputs."""

    def __call__(self, layers: Layers, source: bytes) -> Sequence[Any]: ...


def fold(
    weight: Weights, bias: Weights, scale: NDArray[np.floating[Any]], shift: NDArray[np.floating[Any]]
) -> tuple[Weights, Weights]:
    """The convolution that does the same as this one followed by `x * scale + shift` for each channel.

    In double precision, so that it is rounded once and to the same bits on every machine.
    """
    wide = weight.astype(np.float64) * scale.astype(np.float64)[:, None, None, None]
    offset = bias.astype(np.float64) * scale + shift
    return wide.astype(np.float32), offset.astype(np.float32)
