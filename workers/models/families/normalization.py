"""Pixels to the numbers that a network was trained on.

A pixel has 256 values, so each channel's arithmetic is done once for all of them and looked up afterwards:
the same float32 results as on the image itself, in a third of the time.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.models.home.directory import ModelDirectory

_PIXELS = np.arange(256, dtype=np.float32)


class Normalization:
    """A table of 256 values for each of three channels."""

    def __init__(self, channels: Sequence[NDArray[np.float32]]) -> None:
        self._table = np.stack(channels, axis=-1)[np.newaxis]
        self._planes = [np.ascontiguousarray(channel)[np.newaxis] for channel in channels]

    @classmethod
    def scaled(cls, scale: float, mean: Sequence[float], std: Sequence[float]) -> "Normalization":
        """Pixels times `scale`, less `mean`, divided by `std`, as PaddleX computes it.

        That is x * (scale / std) + (-mean / std), the factors in double precision.
        """
        return cls(
            [_PIXELS * np.float32(scale / s) + np.float32(-m / s) for m, s in zip(mean, std, strict=True)]
        )

    @classmethod
    def centred(cls) -> "Normalization":
        """0..255 to -1..1, in the order of operations of PaddleX's OCRReisizeNormImg."""
        values = _PIXELS / np.float32(255)
        values -= np.float32(0.5)
        values /= np.float32(0.5)
        return cls([values] * 3)

    @classmethod
    def of(cls, directory: ModelDirectory) -> "Normalization":
        """The config's NormalizeImage step. Raises ModelUnavailable when it cannot be understood."""
        settings = directory.transforms.get("NormalizeImage", {})
        try:
            return cls.scaled(_fraction(settings.get("scale", 1 / 255)), *mean_and_std(settings))
        except (TypeError, ValueError, ZeroDivisionError) as err:
            raise ModelUnavailable(f"{directory.path}: NormalizeImage has a bad setting: {err}") from err

    def fill(self, tensor: NDArray[np.float32], image: NDArray[Any]) -> None:
        """Write an image (uint8, [H, W, 3]) into a tensor [3, H, W]."""
        # A channel at a time: both sides are then contiguous, which takes a third of the time.
        for channel, plane in enumerate(tensor):
            plane[:] = cv2.LUT(np.ascontiguousarray(image[:, :, channel]), self._planes[channel])

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """An image (uint8, [H, W, 3]) to numbers of the same shape."""
        return np.asarray(cv2.LUT(image, self._table), dtype=np.float32)


def mean_and_std(settings: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of a NormalizeImage step, ImageNet's where it names none. Raises TypeError or ValueError."""
    return _three(settings, "mean", (0.485, 0.456, 0.406)), _three(settings, "std", (0.229, 0.224, 0.225))


def _three(settings: Mapping[str, Any], key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = tuple(float(value) for value in settings.get(key) or default)
    if len(values) != 3 or not all(map(math.isfinite, values)) or (key == "std" and 0 in values):
        raise ValueError(f"{key} has to be three numbers")
    return values


def _fraction(value: Any) -> float:
    """A number, or PaddleX's `1./255.`, which it evaluates as Python."""
    numerator, _, denominator = str(value).partition("/")
    return float(numerator) / float(denominator or 1)
