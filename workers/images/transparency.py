"""Transparent pictures on a background, as a page or a screen shows them.

Colours behind alpha 0 are arbitrary: black text on clear is often black on black there, and text may be
hidden on purpose. Models must see the pixels that a viewer shows, so the picture is put on white, and on
black where the visible pixels are light and white would hide them.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.images.limits import Image

_VISIBLE: Final = 128
"""Alpha from which a pixel decides about the background; edges are blends and do not."""

_LIGHT: Final = 160
_DARKEST_SHARE: Final = 2.0
"""Per cent of the visible pixels that may be darker in a picture that counts as light."""

_STRIP: Final = 256
"""Rows at a time, so that the sums of a large picture take little memory."""


def flatten(image: NDArray[Any]) -> Image:
    """The BGRA picture, 8 or 16 bits, on white or black; BGR with 8 bits."""
    pixels = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    alpha = pixels[:, :, 3]
    colours = np.ascontiguousarray(pixels[:, :, :3])
    if alpha.min() == 255:
        return colours
    background = 0 if _is_light(colours, alpha) else 255
    for top in range(0, len(colours), _STRIP):
        strip = colours[top : top + _STRIP]
        share = alpha[top : top + _STRIP, :, None].astype(np.uint16)
        mixed = strip * share + background * (255 - share)
        colours[top : top + _STRIP] = (mixed + 127) // 255
    return colours


def _is_light(colours: Image, alpha: NDArray[np.uint8]) -> bool:
    visible = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)[alpha >= _VISIBLE]
    return visible.size > 0 and float(np.percentile(visible, _DARKEST_SHARE)) >= _LIGHT
