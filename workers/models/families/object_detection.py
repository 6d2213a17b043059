"""Object detection, the half that needs no network: a picture to tensors, and rows of boxes to objects.

The steps are those of PaddleX 3.7.2 (`object_detection/processors.py`: DetPostProcess).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed, ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.families.detected_boxes import NO_CLASS
from workers.models.families.detection_transforms import DetectionTransforms
from workers.models.home.directory import ModelDirectory

# Settings of layout detectors, which merge and grow boxes by class; they mean nothing to other detectors.
_LAYOUT: Final = ("layout_nms", "layout_unclip_ratio", "layout_merge_bboxes_mode")


@dataclass(frozen=True, kw_only=True)
class DetectedObject:
    """A box (x1, y1, x2, y2) in pixels of the picture, its class and its score."""

    class_id: int
    label: str
    score: float
    box: tuple[float, float, float, float]


class ObjectDetection:
    """A detector of objects; faces are one kind."""

    def __init__(
        self,
        *,
        name: str,
        transforms: DetectionTransforms,
        labels: Sequence[str],
        threshold: float = 0.5,
    ) -> None:
        """`labels` name the classes from 0 on; boxes with a score above `threshold` count."""
        self.name = name
        self._transforms = transforms
        self._labels = tuple(labels)
        self._threshold = threshold

    @classmethod
    def open(cls, directory: ModelDirectory) -> "ObjectDetection":
        """Build it from inference.yml. Raises ModelUnavailable when the config lacks a part."""
        labels = directory.config.get("label_list")
        if not isinstance(labels, list) or not labels:
            raise ModelUnavailable(f"{directory.path}: label_list is missing: export it again.")
        merged = [setting for setting in _LAYOUT if directory.config.get(setting)]
        if merged:
            raise ModelUnavailable(f"{directory.path}: {', '.join(merged)} cannot be honoured: remove it.")
        return cls(
            name=directory.name,
            transforms=DetectionTransforms.of(directory),
            labels=[str(label) for label in labels],
            threshold=_threshold(directory),
        )

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shapes of the tensors of a picture of 640 x 480 pixels."""
        tensors = self.preprocess(np.zeros((480, 640, 3), dtype=np.uint8))
        return (tuple(tensor.shape for tensor in tensors),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """A picture (BGR, [H, W, 3]) to (image [3, H', W'], scale_factor [2]) or im_shape [2] and these.

        Raises ImageTooNarrow, ImageTooLarge.
        """
        return self._transforms.tensors(image)

    def postprocess(
        self, outputs: tuple[NDArray[Any], ...], width: int, height: int, threshold: float | None = None
    ) -> tuple[DetectedObject, ...]:
        """One item's rows [K, 6] to the objects in a picture of `width` x `height` pixels, in their order.

        A row is class, score, x1, y1, x2, y2 in pixels of the picture. Boxes are cut off at its borders;
        what is outside is left out. Raises ModelFailed.
        """
        rows = outputs[0]
        limit = self._threshold if threshold is None else threshold
        rows = rows[(rows[:, 1] > limit) & (rows[:, 0] > NO_CLASS)]
        if rows.size and rows[:, 0].max() >= len(self._labels):
            raise ModelFailed(f"{self.name} found a class that its label_list does not name.")
        boxes = np.clip(rows[:, 2:], 0, (width, height, width, height)).astype(np.float32)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        inside &= self._is_no_page(rows, boxes, width, height)
        return tuple(self._object(row, box) for row, box in zip(rows[inside], boxes[inside], strict=True))

    def _object(self, row: NDArray[np.float32], box: NDArray[np.float32]) -> DetectedObject:
        class_id, (left, top, right, bottom) = int(row[0]), box.tolist()
        return DetectedObject(
            class_id=class_id,
            label=self._labels[class_id],
            score=float(row[1]),
            box=(left, top, right, bottom),
        )

    def _is_no_page(
        self, rows: NDArray[np.float32], boxes: NDArray[np.float32], width: int, height: int
    ) -> NDArray[np.bool_]:
        """PaddleX leaves out an "image" that covers nearly everything, where there is anything else."""
        if "image" not in self._labels or len(rows) < 2:
            return np.ones(len(rows), dtype=np.bool_)
        limit = (0.82 if width > height else 0.93) * width * height
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        kept = (rows[:, 0] != self._labels.index("image")) | (areas <= limit)
        return kept if kept.any() else np.ones_like(kept)


def _threshold(directory: ModelDirectory) -> float:
    value = directory.config.get("draw_threshold", 0.5)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ModelUnavailable(f"{directory.path}: draw_threshold is {value!r}: it has to be from 0 to 1.")
