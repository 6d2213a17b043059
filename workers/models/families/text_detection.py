"""Text detection, the half that needs no network: a page to a tensor, and the probability map to boxes.

Resizing is that of PaddleX 3.7.2 (`text_detection/processors.py`: DetResizeForTest). The boxes are those
of Differentiable Binarization (Liao et al., AAAI 2020): connected regions of the thresholded map, their
smallest rectangles, grown by the offset that the shrunk training labels call for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import pyclipper
from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError, ModelUnavailable
from workers.models.engines.session import ItemShapes
from workers.models.families.normalization import Normalization
from workers.models.home.directory import ModelDirectory

Polygon = NDArray[np.float32]
LimitType = Literal["max", "min", "resize_long"]

_STRIDE = 32
# Below this width plus height PaddleX puts the image on a black square first.
_TINY = 64
# A region with a shorter side, in pixels of the map, is noise.
_MIN_SIDE = 3

# For these PaddleX takes `resize_long` as a limit of the long side, for any other name of the short side.
_LONG_SIDE_LIMITED = frozenset(
    f"PP-OCR{kind}_det"
    for kind in (
        *("v3_mobile", "v3_server", "v4_mobile", "v4_server", "v5_mobile", "v5_server"),
        *("v6_medium", "v6_small", "v6_tiny"),
    )
)


@dataclass(frozen=True, kw_only=True)
class PageResize:
    """How a page is scaled: its long side (`max`, `resize_long`) or short side (`min`) to `side` pixels.

    `max` only shrinks, `min` only enlarges, `resize_long` does both. No side gets longer than
    `max_side`, and both become multiples of 32.
    """

    side: int = 736
    limit: LimitType = "min"
    max_side: int = 4000

    def __post_init__(self) -> None:
        if self.limit not in ("max", "min", "resize_long"):
            raise ConfigurationError(f"limit_type {self.limit!r} is not max, min or resize_long.")
        if self.side < 1 or self.max_side < _STRIDE:
            raise ConfigurationError(f"A page of side {self.side}, at most {self.max_side}, cannot be made.")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the tensor for a page of this width and height."""
        ratio = self._ratio(width, height)
        columns, rows = int(width * ratio), int(height * ratio)
        if max(columns, rows) > self.max_side:
            ratio = float(self.max_side) / max(columns, rows)
            columns, rows = int(columns * ratio), int(rows * ratio)
        return _to_stride(columns), _to_stride(rows)

    def _ratio(self, width: int, height: int) -> float:
        long, short = max(width, height), min(width, height)
        if self.limit == "max":
            return self.side / long if long > self.side else 1.0
        if self.limit == "min":
            return self.side / short if short < self.side else 1.0
        return self.side / long


@dataclass(frozen=True, kw_only=True)
class DbThresholds:
    """The settings of DBPostProcess: a pixel is text above `pixel`, a region above the mean `box`."""

    pixel: float = 0.3
    box: float = 0.6
    unclip_ratio: float = 2.0
    max_candidates: int = 1000
    use_dilation: bool = False


class TextDetection:
    """A detector of text lines on a page."""

    def __init__(
        self,
        *,
        name: str,
        normalization: Normalization,
        resize: PageResize,
        thresholds: DbThresholds,
        channel_order: Literal["BGR", "RGB"] = "BGR",
    ) -> None:
        self.name = name
        self._normalization = normalization
        self._resize = resize
        self._thresholds = thresholds
        self._reversed = channel_order == "RGB"

    @classmethod
    def open(cls, directory: ModelDirectory, *, resize: PageResize | None = None) -> "TextDetection":
        """Build it from inference.yml; `resize` replaces the config's. Raises ModelUnavailable."""
        return cls(
            name=directory.name,
            normalization=Normalization.of(directory),
            resize=resize or _page_resize(directory),
            thresholds=_thresholds(directory),
            channel_order=directory.channel_order,
        )

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """The shape of an A4 page in portrait at 150 dpi."""
        columns, rows = self._resize.size(1240, 1754)
        return (((3, rows, columns),),)

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A page (BGR, [H, W, 3]) to one tensor [3, H', W'], both multiples of 32."""
        height, width = image.shape[:2]
        canvas_width, canvas_height = _canvas(width, height)
        if (canvas_width, canvas_height) != (width, height):
            image = np.pad(image, ((0, canvas_height - height), (0, canvas_width - width), (0, 0)))
        size = self._resize.size(canvas_width, canvas_height)
        resized = cv2.resize(image, size)
        tensor = np.empty((3, size[1], size[0]), dtype=np.float32)
        self._normalization.fill(tensor, resized[:, :, ::-1] if self._reversed else resized)
        return (tensor,)

    def postprocess(
        self, outputs: tuple[NDArray[Any], ...], width: int, height: int
    ) -> list[tuple[Polygon, float]]:
        """One item's probability map [1, H', W'] to the lines of a page of `width` x `height` pixels.

        Each line is its corners [4, 2] (x, y) in pixels of the page, clockwise from the top left, and the
        mean probability of its region.
        """
        probability = outputs[0][0]
        rows, columns = probability.shape
        canvas_width, canvas_height = _canvas(width, height)
        scale = np.array([canvas_width / columns, canvas_height / rows])
        lines = []
        for contour in self._contours(probability):
            found = self._line(probability, contour)
            if found is not None:
                corners, score = found
                page = np.clip(np.rint(corners * scale), 0, [width, height])
                lines.append((page.astype(np.float32), score))
        return lines

    def _contours(self, probability: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        mask: cv2.typing.MatLike = (probability > self._thresholds.pixel).astype(np.uint8)
        if self._thresholds.use_dilation:
            mask = cv2.dilate(mask, np.ones((2, 2), dtype=np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        return contours[: self._thresholds.max_candidates]

    def _line(self, probability: NDArray[np.float32], contour: NDArray[Any]) -> tuple[Polygon, float] | None:
        corners, side = smallest_rectangle(contour)
        if side < _MIN_SIDE:
            return None
        score = mean_inside(probability, corners)
        if score < self._thresholds.box:
            return None
        grown = grow(corners, self._thresholds.unclip_ratio)
        if grown is None:
            return None
        corners, side = smallest_rectangle(grown)
        return None if side < _MIN_SIDE + 2 else (corners, score)


def smallest_rectangle(points: NDArray[Any]) -> tuple[Polygon, float]:
    """The smallest rectangle around the points: corners clockwise from the top left, and its short side."""
    rectangle = cv2.minAreaRect(points)
    left_a, left_b, right_a, right_b = sorted(cv2.boxPoints(rectangle), key=lambda point: float(point[0]))
    top_left, bottom_left = (left_a, left_b) if left_b[1] > left_a[1] else (left_b, left_a)
    top_right, bottom_right = (right_a, right_b) if right_b[1] > right_a[1] else (right_b, right_a)
    return np.array([top_left, top_right, bottom_right, bottom_left]), min(rectangle[1])


def mean_inside(probability: NDArray[np.float32], corners: Polygon) -> float:
    """The mean of the map inside the corners."""
    rows, columns = probability.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [columns - 1, rows - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, [columns - 1, rows - 1])
    mask = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    cv2.fillPoly(mask, [(corners - [left, top]).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def grow(corners: Polygon, ratio: float) -> NDArray[np.int32] | None:
    """The outline [n, 1, 2] around the corners at distance area * ratio / perimeter, if there is one."""
    distance = cv2.contourArea(corners) * ratio / cv2.arcLength(corners, True)
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(corners.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    outlines = offset.Execute(distance)
    return np.array(outlines[0], dtype=np.int32).reshape(-1, 1, 2) if outlines else None


def _to_stride(pixels: int) -> int:
    return max(round(pixels / _STRIDE) * _STRIDE, _STRIDE)


def _canvas(width: int, height: int) -> tuple[int, int]:
    if width + height < _TINY:
        return max(width, _STRIDE), max(height, _STRIDE)
    return width, height


def _page_resize(directory: ModelDirectory) -> PageResize:
    settings = directory.transforms.get("DetResizeForTest", {})
    if "image_shape" in settings:
        raise ModelUnavailable(f"{directory.path}: a fixed DetResizeForTest.image_shape is not supported.")
    long_side = directory.config["Global"]["model_name"] in _LONG_SIDE_LIMITED
    side = settings.get("limit_side_len") or settings.get("resize_long") or (960 if long_side else 736)
    limit: Any = settings.get("limit_type") or ("max" if long_side else "min")
    try:
        return PageResize(side=int(side), limit=limit)
    except (ValueError, TypeError, ConfigurationError) as err:
        raise ModelUnavailable(f"{directory.path}: DetResizeForTest has a bad setting: {err}") from err


def _thresholds(directory: ModelDirectory) -> DbThresholds:
    settings = directory.config["PostProcess"]
    box_type, score_mode = settings.get("box_type", "quad"), settings.get("score_mode", "fast")
    if (box_type, score_mode) != ("quad", "fast"):
        raise ModelUnavailable(
            f"{directory.path}: box_type {box_type}, score_mode {score_mode}: not supported."
        )
    try:
        found = DbThresholds(
            pixel=float(settings.get("thresh", 0.3)),
            box=float(settings.get("box_thresh", 0.6)),
            unclip_ratio=float(settings.get("unclip_ratio", 2.0)),
            max_candidates=int(settings.get("max_candidates", 1000)),
            use_dilation=bool(settings.get("use_dilation", False)),
        )
    except (ValueError, TypeError) as err:
        raise ModelUnavailable(f"{directory.path}: DBPostProcess has a bad setting: {err}") from err
    if not all(map(math.isfinite, (found.pixel, found.box, found.unclip_ratio))):
        raise ModelUnavailable(f"{directory.path}: DBPostProcess has a setting that is not a number.")
    return found
