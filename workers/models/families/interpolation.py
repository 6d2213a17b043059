"""How pixels are scaled: by OpenCV or by Pillow, with the names that PaddleX gives their methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paddlewheel.errors import ImageTooNarrow

_CV2: Final[Mapping[str, int]] = {
    "NEAREST": cv2.INTER_NEAREST,
    "LINEAR": cv2.INTER_LINEAR,
    "BICUBIC": cv2.INTER_CUBIC,
    "AREA": cv2.INTER_AREA,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}
_PIL: Final[Mapping[str, Image.Resampling]] = {
    "NEAREST": Image.Resampling.NEAREST,
    "BILINEAR": Image.Resampling.BILINEAR,
    "BICUBIC": Image.Resampling.BICUBIC,
    "BOX": Image.Resampling.BOX,
    "LANCZOS4": Image.Resampling.LANCZOS,
}
NUMBERED: Final = ("NEAREST", "LINEAR", "BICUBIC", "AREA", "LANCZOS4")
"""OpenCV's methods in the order in which detectors' configs number them."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Interpolation:
    """A library's method of scaling an image."""

    _resize: Callable[[Pixels, tuple[int, int]], Pixels]

    @classmethod
    def of(cls, backend: str, name: str) -> "Interpolation":
        """By PaddleX's names. Raises ValueError when that library has no such method."""
        match backend.lower():
            case "cv2" if name.upper() in _CV2:
                return cls(partial(_by_cv2, _CV2[name.upper()]))
            case "pil" if name.upper() in _PIL:
                return cls(partial(_by_pil, _PIL[name.upper()]))
            case "cv2" | "pil" as library:
                known = ", ".join(_CV2 if library == "cv2" else _PIL)
                raise ValueError(f"interpolation {name} is not one of {library}'s ({known})")
        raise ValueError(f"backend {backend} is neither cv2 nor pil")

    def scale(self, image: Pixels, width: int, height: int) -> Pixels:
        """The image (uint8, [H, W, 3]) in `width` x `height` pixels. Raises ImageTooNarrow for no pixels."""
        if image.shape[:2] == (height, width):
            return image
        if not width or not height:
            rows, columns = image.shape[:2]
            raise ImageTooNarrow(
                f"An image of {columns} x {rows} pixels would have none on one side at the model's size: "
                "cut it into parts."
            )
        return self._resize(image, (width, height))


def _by_cv2(code: int, image: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(image, size, interpolation=code), dtype=np.uint8)


def _by_pil(method: Image.Resampling, image: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(image).resize(size, method), dtype=np.uint8)


LINEAR: Final = Interpolation.of("cv2", "LINEAR")
