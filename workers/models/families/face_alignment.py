"""A face brought upright: its landmarks are moved to where they were in the pictures of the training.

The transform is the similarity (turn, scale, shift) with the smallest sum of squared distances between the
moved landmarks and the template (Umeyama, 1991); a face is never sheared or mirrored.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed

Pixels = NDArray[np.uint8]

# Of a face 16 times as large as the template and more, this many times the template's side are looked at.
_LARGEST: Final = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceTemplate:
    """Where five landmarks belong in a square of `side` pixels: points [5, 2] (x, y)."""

    side: int
    points: NDArray[np.float64]

    def scaled(self, side: int) -> "FaceTemplate":
        """The same template in a square of another size."""
        return FaceTemplate(side=side, points=self.points * (side / self.side))


DLIB: Final = FaceTemplate(
    side=150, points=np.array([[46, 52], [104, 52], [75, 82], [54, 104], [97, 104]], dtype=np.float64)
)
"""Of dlib's embedder: where CenterFace's points lie in the squares that dlib cuts out, on average."""

ARCFACE: Final = FaceTemplate(
    side=112,
    points=np.array(
        [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ],
        dtype=np.float64,
    ),
)
"""Of the embedders that take 112 x 112 pixels (Deng et al., ArcFace, 2019); MobileFaceNet is one."""


def template_of(side: int) -> FaceTemplate:
    """The template of an embedder by the side of its input: dlib's takes 150 pixels, the others ArcFace's."""
    return DLIB if side == DLIB.side else ARCFACE.scaled(side)


def align(image: Pixels, landmarks: NDArray[np.floating], template: FaceTemplate) -> Pixels:
    """The face with these landmarks [5, 2], upright, [side, side, 3]; black where the picture ends.

    Raises ModelFailed when the landmarks are all one point.
    """
    transform = similarity(landmarks, template.points)
    # A warp looks at four pixels only: a large face is brought to a multiple of the side, then averaged.
    shrinking = 1 / float(np.hypot(transform[0, 0], transform[1, 0]))
    times = min(max(int(shrinking), 1), _LARGEST)
    transform = times * transform
    transform[:, 2] += (times - 1) / 2  # a pixel's position is that of its middle
    large = cv2.warpAffine(image, transform, (template.side * times,) * 2, flags=cv2.INTER_LINEAR)
    side = (template.side, template.side)
    return np.asarray(cv2.resize(large, side, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def crop_box(image: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    """The box (x1, y1, x2, y2) within the picture in whole pixels, cut off towards zero as in PaddleX.

    This is for detectors without landmarks; PaddleX does it always.
    """
    left, top, right, bottom = (int(side) for side in box)
    return np.ascontiguousarray(image[top:bottom, left:right])


def similarity(points: NDArray[np.floating], targets: NDArray[np.floating]) -> NDArray[np.float64]:
    """The transform [2, 3] that brings points [n, 2] nearest to the targets [n, 2]. Raises ModelFailed."""
    points, targets = points.astype(np.float64), targets.astype(np.float64)
    middle, target_middle = points.mean(axis=0), targets.mean(axis=0)
    # A turn and a scale of a point are one product of complex numbers, so the best is a quotient of sums.
    here = (points - middle) @ (1, 1j)
    there = (targets - target_middle) @ (1, 1j)
    spread = float(np.sum(np.abs(here) ** 2))
    if not np.isfinite(spread) or spread == 0:
        raise ModelFailed("A face's landmarks are all one point: it cannot be aligned.")
    factor = np.sum(np.conj(here) * there) / spread
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, target_middle - turn @ middle])
