"""What all drawings share: colours, marks on a picture, the enlargement of small pictures."""

import colorsys
import math
from typing import TYPE_CHECKING, Final, TypeAlias

from paddlewheel.pictures.fonts import Colour

if TYPE_CHECKING:
    from PIL.Image import Image

Polygon: TypeAlias = tuple[tuple[float, float], ...]
"""Corners (x, y) in pixels."""

INK: Final[Colour] = (24, 24, 27)
GREY: Final[Colour] = (113, 113, 122)
PAPER: Final[Colour] = (255, 255, 255)
DESK: Final[Colour] = (228, 228, 231)

LONGEST_SIDE: Final = 4096
"""Pixels: no drawing is larger."""
LARGEST_ENLARGEMENT: Final = 3.0

_SMOOTHING: Final = 4
"""Polygons are drawn that many times larger and scaled down: Pillow draws jagged edges."""


def enlarge(picture: "Image", scale: float) -> "Image":
    """The picture `scale` times as large, smoothly; itself where nothing changes."""
    from PIL import Image

    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def enlarge_small(picture: "Image") -> "Image":
    """Enlarge a picture, often a line 32 pixels high, until a caption below it can be read."""
    scale = min(4.0, max(1.0, 320 / picture.width, 64 / picture.height), max(1.0, 2000 / picture.width))
    scale = min(scale, LONGEST_SIDE / max(picture.size))
    return enlarge(picture, scale)


def colour_of(index: int) -> Colour:
    """Neighbours differ: the golden angle around the colour wheel, in a lightness that shows on paper."""
    red, green, blue = colorsys.hls_to_rgb((0.58 + index * 0.381966) % 1.0, 0.45, 0.72)
    return round(red * 255), round(green * 255), round(blue * 255)


def mark(image: "Image", polygon: Polygon, colour: Colour, *, fill: float, outline: float) -> None:
    """Fill and outline a polygon, smoothly; `fill` and `outline` are how far they cover, up to 1."""
    from PIL import Image, ImageDraw

    line = max(1.5, min(sides_of(polygon)) / 18)
    left, top = (math.floor(min(axis) - line) for axis in zip(*polygon, strict=True))
    right, bottom = (math.ceil(max(axis) + line) for axis in zip(*polygon, strict=True))
    if right <= left or bottom <= top:
        return
    mask = Image.new("L", ((right - left) * _SMOOTHING, (bottom - top) * _SMOOTHING))
    draw = ImageDraw.Draw(mask)
    corners = [((x - left) * _SMOOTHING, (y - top) * _SMOOTHING) for x, y in polygon]
    draw.polygon(corners, fill=round(255 * fill))
    closed = [*corners, corners[0], corners[1]]
    draw.line(closed, fill=round(255 * outline), width=round(line * _SMOOTHING), joint="curve")
    image.paste(colour, (left, top, right, bottom), mask.reduce(_SMOOTHING))


def sides_of(polygon: Polygon) -> tuple[float, float]:
    """Width and height of a line along its own direction."""
    top_left, top_right, *_, bottom_left = polygon
    return math.dist(top_left, top_right), math.dist(top_left, bottom_left)
