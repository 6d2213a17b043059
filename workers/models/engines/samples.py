"""Inputs to measure and compare engines with: a model's own tensors, of pictures drawn here.

Noise would not do: networks answer it with near ties, in which right engines disagree and wrong ones do not
show. The pictures have what models look for: words, edges, smooth colours.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.models.engines.session import ItemShapes

_INK: Final = (20, 20, 40)


class PreparesImages(Protocol):
    """The half of a model that needs no network."""

    @property
    def name(self) -> str:
        """What it is served as."""

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """Items that it is warmed up with."""

    def preprocess(self, image: NDArray[np.uint8], /) -> tuple[NDArray[Any], ...]:
        """An image to the network's inputs, one tensor each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One batch: an array (N, ...) for every input of the network."""

    batch_size: int
    inputs: tuple[NDArray[Any], ...]


def samples(model: PreparesImages, batch_sizes: tuple[int, ...]) -> list[Sample]:
    """A batch of different pictures for every warm-up item and batch size."""
    made = []
    for item in model.warmup_shapes:
        # An item's picture is its input of (..., C, H, W); the others say how it was scaled.
        height, width = next(shape[-2:] for shape in item if len(shape) >= 3)
        rows = [model.preprocess(picture(height, width, seed)) for seed in range(max(batch_sizes))]
        for size in batch_sizes:
            inputs = tuple(_batch(column) for column in zip(*rows[:size], strict=True))
            made.append(Sample(batch_size=size, inputs=inputs))
    return made


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Printed words on smoothly changing colours, BGR [H, W, 3]; the same for the same seed."""
    chance = np.random.default_rng(seed)
    colours = chance.uniform(90, 255, (height // 64 + 2, width // 64 + 2, 3)).astype(np.float32)
    image = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    line = max(24, min(height, 64))
    for number, bottom in enumerate(range(line, height + 1, line)):
        words = f"Paddlewheel {7731 + seed + number} invoice"
        place = (8, bottom - line // 3)
        cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, line / 48, _INK, 2, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def _batch(items: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    batch = np.stack(items)
    # An item of several views (V, C, H, W) is V rows to the engine.
    return batch.reshape(-1, *batch.shape[2:]) if batch.ndim == 5 else batch
