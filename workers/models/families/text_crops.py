"""From a page and its line polygons to line images, in reading order."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.models.families.text_detection import Polygon, smallest_rectangle

# As in PaddleX: a crop this many times as high as wide holds a vertical line, or one that lies on its side.
_UPRIGHT = 1.5

# Two boxes are on one line when their middles are less than this share of the lower one's height apart.
_SAME_LINE = 0.5


def crop_line(image: NDArray[np.uint8], polygon: Polygon) -> NDArray[np.uint8]:
    """The upright line inside a quad [4, 2] of the image [H, W, 3], turned by 90 degrees when it stands.

    The steps are those of PaddleX 3.7.2 (`crop_image_regions.py`: get_minarea_rect_crop): the smallest
    rectangle around the quad, brought upright by a perspective transform with cubic interpolation.
    """
    corners, _ = smallest_rectangle(polygon.astype(np.int32))
    top_left, top_right, bottom_right, bottom_left = corners
    width = _longer(top_right - top_left, bottom_right - bottom_left)
    height = _longer(bottom_left - top_left, bottom_right - top_right)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    transform = cv2.getPerspectiveTransform(corners, target)
    crop = cv2.warpPerspective(
        image, transform, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    if height / width >= _UPRIGHT:
        crop = np.rot90(crop)
    return np.ascontiguousarray(crop)


def reading_order(polygons: Sequence[Polygon]) -> list[int]:
    """The indices of the polygons, line by line from the top, each line from the left.

    The height of the text decides which boxes are on one line, so the order does not change with the scale
    of the page: PaddleX's limit of 10 pixels joins neighbouring lines of small print and splits large ones.
    """
    rows: list[list[int]] = []
    middles = [float(polygon[:, 1].mean()) for polygon in polygons]
    heights = [_text_height(polygon) for polygon in polygons]
    for index in sorted(range(len(polygons)), key=lambda i: middles[i]):
        row = rows[-1] if rows else []
        if row and _on_line(index, row, middles, heights):
            row.append(index)
        else:
            rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda i: float(polygons[i][:, 0].min()))]


def _on_line(index: int, row: list[int], middles: list[float], heights: list[float]) -> bool:
    middle = sum(middles[i] for i in row) / len(row)
    height = min(heights[index], *(heights[i] for i in row))
    return middles[index] - middle < _SAME_LINE * height


def _text_height(polygon: Polygon) -> float:
    """The shorter side: the height of a line, or the width of a vertical one."""
    sides = np.linalg.norm(polygon - np.roll(polygon, -1, axis=0), axis=1)
    return float(min(sides[0] + sides[2], sides[1] + sides[3]) / 2)


def _longer(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    return max(int(max(np.linalg.norm(first), np.linalg.norm(second))), 1)
