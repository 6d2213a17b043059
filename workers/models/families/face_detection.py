"""Face detection with five landmarks, the half that needs no network: CenterFace.

The network marks the centres of faces in a map of a quarter of the picture's size, and beside each centre the
face's height and width, the rest of its position, and its landmarks (Xu et al., CenterFace: Joint Face
Detection and Alignment Using Face as Point, 2019; decoded as in its authors' centerface.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ImageTooNarrow, ModelFailed, ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.home.directory import ModelDirectory

Landmarks = NDArray[np.float32]
"""Points [5, 2] (x, y) in pixels: the eye at the left of the picture, the other eye, the tip of the nose, the
mouth's corner at the left, the other corner."""

_STRIDE: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class LandmarkedFace:
    """A face: its box (x1, y1, x2, y2) within the picture and its landmarks, in pixels, and its score."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: Landmarks


@dataclass(frozen=True, kw_only=True)
class FaceResize:
    """Which size a picture gets: its long side within these limits, and both sides filled up with black.

    `max_long` bounds time and memory; `min_long` enlarges small pictures, whose faces the network overlooks.
    `stride` is what both sides of the tensor are multiples of.
    """

    min_long: int
    max_long: int
    stride: int = 32

    def scale(self, width: int, height: int) -> float:
        """The factor of both sides."""
        long = max(width, height)
        return min(max(long, self.min_long), self.max_long) / long

    def content(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the scaled picture. Raises ImageTooNarrow when a side is lost."""
        scale = self.scale(width, height)
        columns, rows = round(width * scale), round(height * scale)
        if min(columns, rows) < 1:
            raise ImageTooNarrow(f"A picture of {width} x {height} pixels is too narrow to hold a face.")
        return columns, rows

    def canvas(self, columns: int, rows: int) -> tuple[int, int]:
        """Width and height of the tensor that holds it."""
        return -columns // self.stride * -self.stride, -rows // self.stride * -self.stride


class CenterFace:
    """A detector of faces and of five points in each."""

    def __init__(
        self,
        *,
        name: str,
        resize: FaceResize,
        threshold: float = 0.5,
        max_overlap: float = 0.3,
        max_faces: int = 1000,
    ) -> None:
        """Centres with a score above `threshold` count.

        Of two faces whose intersection is more than `max_overlap` of their union, the one of the lower score
        is dropped.
        """
        self.name = name
        self._resize = resize
        self._threshold = threshold
        self._max_overlap = max_overlap
        self._max_faces = max_faces

    @classmethod
    def open(cls, directory: ModelDirectory) -> "CenterFace":
        """Build it from inference.yml. Raises ModelUnavailable when the config lacks a part."""
        settings = directory.transforms.get("ResizeByLong", {})
        post = directory.config["PostProcess"]
        try:
            return cls(
                name=directory.name,
                resize=_resize(settings),
                threshold=_share(post, "score_threshold", 0.5),
                max_overlap=_share(post, "nms_threshold", 0.3),
                max_faces=_pixels(post, "top_k", 1000),
            )
        except ValueError as err:
            raise ModelUnavailable(f"{directory.path}: inference.yml cannot be understood: {err}.") from err

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shape of a picture of 640 x 480 pixels."""
        columns, rows = self._resize.canvas(*self._resize.content(640, 480))
        return (((3, rows, columns),),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A picture (BGR, [H, W, 3]) to one tensor [3, H', W'], RGB, 0..255. Raises ImageTooNarrow."""
        height, width = image.shape[:2]
        columns, rows = self._resize.content(width, height)
        method = cv2.INTER_AREA if columns < width else cv2.INTER_LINEAR
        scaled = cv2.resize(image, (columns, rows), interpolation=method)
        canvas_columns, canvas_rows = self._resize.canvas(columns, rows)
        tensor = np.zeros((3, canvas_rows, canvas_columns), dtype=np.float32)
        for plane, channel in zip(tensor[::-1], cv2.split(scaled), strict=True):
            plane[:rows, :columns] = channel
        return (tensor,)

    def postprocess(
        self, outputs: tuple[NDArray[Any], ...], width: int, height: int, threshold: float | None = None
    ) -> tuple[LandmarkedFace, ...]:
        """One item's maps to the faces in a picture of `width` x `height` pixels, the best score first.

        The maps are centres [1, h, w], logarithms of height and width [2, h, w], offsets y and x [2, h, w],
        landmarks [10, h, w]. Boxes are cut off at the picture's borders, landmarks may lie outside. Raises
        ModelFailed.
        """
        scores, boxes, landmarks = self._decode(outputs, self._threshold if threshold is None else threshold)
        columns, rows = self._resize.content(width, height)
        to_picture = np.array([width / columns, height / rows], dtype=np.float32)
        boxes = np.clip(boxes * np.tile(to_picture, 2), 0, (width, height, width, height)).astype(np.float32)
        kept = _without_overlaps(boxes, scores, self._max_overlap)[: self._max_faces]
        faces = []
        for index in kept:
            left, top, right, bottom = boxes[index].tolist()
            points = landmarks[index] * to_picture
            faces.append(
                LandmarkedFace(box=(left, top, right, bottom), score=float(scores[index]), landmarks=points)
            )
        return tuple(faces)

    def _decode(
        self, outputs: tuple[NDArray[Any], ...], threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores [K], boxes [K, 4] and landmarks [K, 5, 2] in pixels of the tensor, the best score first."""
        try:
            centres, sizes, offsets, points = outputs
            y, x = np.nonzero(centres[0] > threshold)
            order = np.argsort(-centres[0, y, x], kind="stable")
            y, x = y[order], x[order]
            size = np.exp(sizes[::-1, y, x].T) * _STRIDE  # width, height
            middle = (np.stack([x, y], axis=1) + offsets[::-1, y, x].T + 0.5) * _STRIDE
            start = middle - size / 2
            shares = points[:, y, x].T.reshape(-1, 5, 2)[:, :, ::-1]
        except (ValueError, IndexError) as err:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise ModelFailed(f"{self.name} answered with {shapes}: these are no maps of faces.") from err
        boxes = np.concatenate([start, start + size], axis=1).astype(np.float32)
        landmarks = start[:, np.newaxis] + shares * size[:, np.newaxis]
        return centres[0, y, x], boxes, landmarks.astype(np.float32)


def _without_overlaps(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], max_overlap: float
) -> list[int]:
    """The indices of the boxes that overlap with no better one; `boxes` are sorted, the best first."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas = sides[:, 0] * sides[:, 1]
    left = np.flatnonzero((areas > 0) & np.isfinite(scores))
    kept = []
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        start = np.maximum(boxes[rest, :2], boxes[best, :2])
        shared = np.maximum(np.minimum(boxes[rest, 2:], boxes[best, 2:]) - start, 0).prod(axis=1)
        left = rest[shared <= max_overlap * (areas[rest] + areas[best] - shared)]
    return kept


def _resize(settings: Mapping[str, Any]) -> FaceResize:
    resize = FaceResize(
        min_long=_pixels(settings, "min_long", 320),
        max_long=_pixels(settings, "max_long", 1280),
        stride=_pixels(settings, "stride", 32),
    )
    if resize.min_long > resize.max_long:
        raise ValueError(f"min_long {resize.min_long} is more than max_long {resize.max_long}")
    return resize


def _pixels(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = settings.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"{key} is {value!r} and has to be 1 or more")


def _share(settings: Mapping[str, Any], key: str, default: float) -> float:
    value = settings.get(key, default)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"{key} is {value!r} and has to be from 0 to 1")
