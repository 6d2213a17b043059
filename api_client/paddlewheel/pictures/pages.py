"""A page drawn twice: its lines marked on the picture, and their texts in the same places beside it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from paddlewheel.pictures.canvas import (
    DESK,
    INK,
    LARGEST_ENLARGEMENT,
    LONGEST_SIDE,
    PAPER,
    Polygon,
    colour_of,
    enlarge,
    mark,
    sides_of,
)
from paddlewheel.pictures.fonts import Lettering, needs_pictures
from paddlewheel.pictures.loading import open_picture_of_size

if TYPE_CHECKING:
    from PIL.Image import Image

_FILL_ON_PICTURE: Final = 0.35
_FILL_ON_PAPER: Final = 0.08
_OUTLINE_ON_PAPER: Final = 0.55

_READABLE_LINE: Final = 26
"""Pixels of height that a page's typical line is given, by enlarging a small page."""
_GUTTER: Final = 12

_LETTER_SHARE: Final = 0.95
"""The size of letters to the height of a detected line: detectors cut lines close."""
_VERTICAL_FROM: Final = 1.5
"""Recognizers read a line this many times higher than wide as a vertical one."""


class PageLines(Protocol):
    """The lines of a page of `width` x `height` pixels; the two sequences run in parallel."""

    @property
    def page_index(self) -> int | None: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def dt_polys(self) -> Sequence[Polygon]: ...
    @property
    def rec_texts(self) -> Sequence[str]: ...


@needs_pictures
def draw_page(page: PageLines, data: bytes) -> "Image":
    """The page with its lines marked on the left, their texts in the same places on the right.

    Raises UnsupportedSource where the picture is not of the page's size.
    """
    from PIL import Image

    picture = open_picture_of_size(
        data, page_index=page.page_index, size=(page.width, page.height), found="the page was"
    )
    scale = _page_scale(page)
    marked = enlarge(picture, scale)
    written = Image.new("RGB", marked.size, PAPER)
    for index, (polygon, text) in enumerate(zip(page.dt_polys, page.rec_texts, strict=True)):
        corners = tuple((x * scale, y * scale) for x, y in polygon)
        colour = colour_of(index)
        mark(marked, corners, colour, fill=_FILL_ON_PICTURE, outline=1.0)
        mark(written, corners, colour, fill=_FILL_ON_PAPER, outline=_OUTLINE_ON_PAPER)
        _write(written, corners, text)
    return _side_by_side(marked, written)


def _page_scale(page: PageLines) -> float:
    heights = sorted(min(sides_of(polygon)) for polygon in page.dt_polys)
    wanted = _READABLE_LINE / max(1.0, heights[len(heights) // 2]) if heights else 1.0
    return min(max(1.0, min(wanted, LARGEST_ENLARGEMENT)), LONGEST_SIDE / max(page.width, page.height))


def _write(image: "Image", polygon: Polygon, text: str) -> None:
    """The text along the line's own direction, as large as the line allows."""
    if not text.strip():
        return
    width, height = sides_of(polygon)
    slope = math.degrees(math.atan2(polygon[1][1] - polygon[0][1], polygon[1][0] - polygon[0][0]))
    if height >= _VERTICAL_FROM * width:
        if _stands_upright(text):
            tile = _column(text, width, height)
        else:
            tile, slope = _row(text, height, width), slope + 90
    else:
        tile = _row(text, width, height)
    _paste_centred(image, tile, polygon, slope)


def _stands_upright(text: str) -> bool:
    """Whether a vertical line of it is written letter below letter: ideographs are, Latin is turned."""
    return sum("\u2e80" <= character <= "\uffef" for character in text) * 2 > len(text)


def _row(text: str, width: float, height: float) -> "Image":
    from PIL import Image, ImageDraw

    letters = Lettering(text)
    inset = 0.06 * height
    size = letters.fitting_size(max(1.0, width - 2 * inset), max(1.0, _LETTER_SHARE * height))
    # Higher than the line, for the letters that hang below it.
    tile = Image.new("L", (max(1, round(width)), max(1, round(1.5 * height))))
    letters.draw(ImageDraw.Draw(tile), (inset, width - inset), tile.height / 2, size, 255)
    return tile


def _column(text: str, width: float, height: float) -> "Image":
    from PIL import Image, ImageDraw

    size = max(1, round(min(_LETTER_SHARE * width, height / (1.08 * len(text)))))
    tile = Image.new("L", (max(1, round(width)), max(1, round(height))))
    draw, step = ImageDraw.Draw(tile), height / len(text)
    for index, character in enumerate(text):
        letter = Lettering(character)
        inset = (width - letter.width(size)) / 2
        letter.draw(draw, (inset, width - inset), (index + 0.5) * step, size, 255)
    return tile


def _paste_centred(image: "Image", tile: "Image", polygon: Polygon, degrees: float) -> None:
    from PIL import Image

    if abs(degrees) > 0.3:
        tile = tile.rotate(-degrees, resample=Image.Resampling.BICUBIC, expand=True)
    centre_x = sum(x for x, _ in polygon) / len(polygon)
    centre_y = sum(y for _, y in polygon) / len(polygon)
    left, top = round(centre_x - tile.width / 2), round(centre_y - tile.height / 2)
    image.paste(INK, (left, top, left + tile.width, top + tile.height), tile)


def _side_by_side(left: "Image", right: "Image") -> "Image":
    from PIL import Image

    both = Image.new("RGB", (left.width + _GUTTER + right.width, left.height), DESK)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + _GUTTER, 0))
    return both
