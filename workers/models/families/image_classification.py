"""Image classification, the half that needs no network: a picture to a tensor, probabilities to classes.

The steps are those of PaddleX 3.7.2 (`image_classification/predictor.py`, `processors.py`: Topk).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.families.picture_transforms import PictureTransforms
from workers.models.home.directory import ModelDirectory


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The best classes, best first. `scores` are rounded to five decimals, as PaddleX does."""

    class_ids: tuple[int, ...]
    label_names: tuple[str, ...]
    scores: tuple[float, ...]


class ImageClassification:
    """A classifier of a picture."""

    def __init__(
        self, *, name: str, transforms: PictureTransforms, labels: Sequence[str] | None, top_k: int = 5
    ) -> None:
        """`labels` name the classes from 0 on; without them a class is named by its number."""
        self.name = name
        self._transforms = transforms
        self._labels = tuple(labels or ())
        self._top_k = top_k

    @classmethod
    def open(cls, directory: ModelDirectory) -> "ImageClassification":
        """Build it from inference.yml. Raises ModelUnavailable when the config lacks a part."""
        settings = (directory.config.get("PostProcess") or {}).get("Topk") or {}
        labels = settings.get("label_list")
        if labels is not None and not isinstance(labels, list):
            raise ModelUnavailable(f"{directory.path}: PostProcess.Topk.label_list is not a list.")
        return cls(
            name=directory.name,
            transforms=PictureTransforms.of(directory, crops=True),
            labels=None if labels is None else [str(label) for label in labels],
            top_k=_top_k(directory, settings.get("topk")),
        )

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shape of a square picture's tensor."""
        return ((self._transforms.warmup_shape,),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A picture (BGR, [H, W, 3]) to one tensor [3, H', W']. Raises ImageTooNarrow, ImageTooSmall."""
        return (self._transforms.tensor(image),)

    def postprocess(self, outputs: tuple[NDArray[Any], ...], top_k: int | None = None) -> Classification:
        """One item's probabilities [C] to its best classes: `top_k` of them, else the config's number."""
        probabilities = outputs[0].reshape(-1)
        best = [int(index) for index in probabilities.argsort()[-(top_k or self._top_k) :][::-1]]
        return Classification(
            class_ids=tuple(best),
            label_names=tuple(self.label(index) for index in best),
            scores=tuple(float(score) for score in np.around(probabilities[best], decimals=5)),
        )

    def class_probs(self, outputs: tuple[NDArray[Any], ...]) -> dict[str, float]:
        """One item's probabilities [C], each under its class's name, not rounded."""
        return {self.label(index): float(value) for index, value in enumerate(outputs[0].reshape(-1))}

    def label(self, class_id: int) -> str:
        """A class's name."""
        return self._labels[class_id] if class_id < len(self._labels) else str(class_id)


def _top_k(directory: ModelDirectory, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ModelUnavailable(f"{directory.path}: PostProcess.Topk.topk is {value!r}: it has to be 1 or more.")
