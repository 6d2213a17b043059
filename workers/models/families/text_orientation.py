"""Text orientation, the half that needs no network: does a line stand upside down?

Two kinds of classifiers are known by their configs: PaddleOCR's text angle classifier, which scales a line
to its height and pads it (RecResizeImg), and PaddleX's textline_ori models, which squeeze it (ResizeImage).
"""

import math
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.families.normalization import Normalization
from workers.models.home.directory import ModelDirectory

Angle = Literal[0, 180]

# A padding classifier squeezes lines wider than 4 heights. Of 250 rendered lines of 8 to 30 heights it then
# turned 1.6 % of the good ones and left 23 % of the others; looking at the middle 6 heights, 0 and 1.6 %.
_LOOKED_AT = 6

_ANGLES: dict[str, Angle] = {"0_degree": 0, "180_degree": 180}


class TextOrientation:
    """A classifier of a line into 0 and 180 degrees."""

    def __init__(
        self,
        *,
        name: str,
        width: int,
        height: int,
        keep_ratio: bool,
        normalization: Normalization,
        labels: tuple[Angle, Angle] = (0, 180),
        channel_order: Literal["BGR", "RGB"] = "BGR",
        threshold: float = 0.9,
    ) -> None:
        """`labels` are the angles of the network's classes; `threshold`: turn only at this score or above."""
        self.name = name
        self._width, self._height = width, height
        self._keep_ratio = keep_ratio
        self._normalization = normalization
        self._labels = labels
        self._reversed = channel_order == "RGB"
        self._threshold = threshold

    @classmethod
    def open(cls, directory: ModelDirectory, *, threshold: float = 0.9) -> "TextOrientation":
        """Build it from inference.yml. Raises ModelUnavailable when the config lacks a part."""
        padded = "RecResizeImg" in directory.transforms
        width, height = _size(directory)
        first, second = directory.config["PostProcess"]["Topk"]["label_list"]
        return cls(
            name=directory.name,
            width=width,
            height=height,
            keep_ratio=padded,
            normalization=Normalization.centred() if padded else Normalization.of(directory),
            labels=(_ANGLES[first], _ANGLES[second]),
            channel_order=directory.channel_order,
            threshold=threshold,
        )

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The one shape that every line has."""
        return (((3, self._height, self._width),),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A line (BGR, [H, W, 3]) to one tensor [3, H', W'] of the same shape for every line."""
        content = self._width
        if self._keep_ratio:
            image = _middle(image)
            height, width = image.shape[:2]
            content = min(math.ceil(self._height * width / height), self._width)
        resized = cv2.resize(image, (content, self._height))
        tensor = np.zeros((3, self._height, self._width), dtype=np.float32)
        self._normalization.fill(tensor[:, :, :content], resized[:, :, ::-1] if self._reversed else resized)
        return (tensor,)

    def postprocess(self, outputs: tuple[NDArray[Any], ...]) -> tuple[Angle, float]:
        """One item's probabilities [2] to the angle by which the line has to be turned, and its score.

        A line that is only probably upside down stays as it is: turning a good line loses it for certain.
        """
        probabilities = outputs[0]
        best = int(probabilities.argmax())
        angle, score = self._labels[best], float(probabilities[best])
        if angle == 180 and score < self._threshold:
            return 0, float(probabilities[1 - best])
        return angle, score


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    start = max(width - _LOOKED_AT * height, 0) // 2
    return image[:, start : width - start]


def _size(directory: ModelDirectory) -> tuple[int, int]:
    """Width and height of the tensor."""
    match directory.transforms.get("RecResizeImg", {}).get("image_shape"):
        case [3, int(height), int(width)] if min(height, width) > 0:
            return width, height
    match directory.transforms.get("ResizeImage", {}).get("size"):
        case [int(width), int(height)] if min(height, width) > 0:
            return width, height
    raise ModelUnavailable(f"{directory.path}: it needs RecResizeImg.image_shape or ResizeImage.size.")
