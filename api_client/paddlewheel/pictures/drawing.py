"""Results drawn beside their pictures: a page's lines in place, a line's text below it."""

import colorsys
import math
from typing import TYPE_CHECKING, Final, TypeAlias

from paddlewheel.errors import UnsupportedSource
from paddlewheel.pictures.fonts import Colour, Lettering
from paddlewheel.pictures.opening import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from paddlewheel.contracts.text import Page, RecognizedText

Polygon: TypeAlias = tuple[tuple[float, float], ...]

INK: Final[Colour] = (24, 24, 27)
GREY: Final[Colour] = (113, 113, 122)
PAPER: Final[Colour] = (255, 255, 255)
DESK: Final[Colour] = (228, 228, 231)

_FILL_ON_PICTURE: Final = 0.35
_FILL_ON_PAPER: Final = 0.08
_OUTLINE_ON_PAPER: Final = 0.55
_SMOOTHING: Final = 4
"""Polygons are drawn that many times larger and scaled down: Pillow draws jagged edges."""

_READABLE_LINE: Final = 26
"""Pixels of height that a page's typical line is given, by enlarging a small page."""
_LARGEST_ENLARGEMENT: Final = 3.0
_LONGEST_SIDE: Final = 4096
_GUTTER: Final = 12

_LETTER_SHARE: Final = 0.95
"""The size of letters to the height of a detected line: detectors cut lines close."""
_VERTICAL_FROM: Final = 1.5
"""Recognizers take a line this many times higher than wide for a vertical one."""


def draw_page(page: "Page", data: bytes) -> "Image":
    """The page with its lines marked on the left, their texts in the same places on the right.

    Raises UnsupportedSource where the picture is not of the page's size.
    """
    from PIL import Image

    picture = open_picture(data, page_index=page.page_index, size=(page.width, page.height))
    if picture.size != (page.width, page.height):
        raise UnsupportedSource(
            f"The picture is {picture.width} x {picture.height} pixels and the page was {page.width} x "
            f"{page.height}: it is another picture. Give the right one as image=."
        )
    scale = _page_scale(page)
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    marked, written = picture.resize(size, Image.Resampling.LANCZOS), Image.new("RGB", size, PAPER)
    for index, (polygon, text) in enumerate(zip(page.dt_polys, page.rec_texts, strict=True)):
        corners = tuple((x * scale, y * scale) for x, y in polygon)
        colour = colour_of(index)
        mark(marked, corners, colour, fill=_FILL_ON_PICTURE, outline=1.0)
        mark(written, corners, colour, fill=_FILL_ON_PAPER, outline=_OUTLINE_ON_PAPER)
        _write(written, corners, text)
    return _side_by_side(marked, written)


def draw_line(line: "RecognizedText", data: bytes) -> "Image":
    """The line above, its text and score below."""
    from PIL import Image, ImageDraw

    picture = comfortable(open_picture(data, page_index=line.page_index))
    margin = min(32, max(8, picture.height // 8))
    letters = Lettering(line.rec_text or "(no text)")
    room = picture.width - 2 * margin
    size = max(18, letters.fitting_size(room, min(96.0, max(24.0, 0.72 * picture.height))))
    small = min(40, max(13, round(0.45 * size)))
    caption = Lettering(f"score {line.rec_score:.4f}")
    width = math.ceil(max(picture.width, max(letters.width(size), caption.width(small)) + 2 * margin))
    text_top, caption_top = picture.height + margin, picture.height + margin + round(1.3 * size)
    drawn = Image.new("RGB", (width, caption_top + round(1.3 * small) + margin), PAPER)
    drawn.paste(DESK, (0, 0, width, picture.height))
    drawn.paste(picture, ((width - picture.width) // 2, 0))
    draw, sides = ImageDraw.Draw(drawn), (margin, width - margin)
    draw.line((0, picture.height, width, picture.height), fill=DESK, width=2)
    letters.draw(draw, sides, text_top + 0.6 * size, size, INK if line.rec_text else GREY)
    caption.draw(draw, sides, caption_top + 0.65 * small, small, GREY)
    return drawn


def comfortable(picture: "Image") -> "Image":
    """Lines are often 32 pixels high: enlarged enough for a caption to be read below them."""
    from PIL import Image

    scale = min(4.0, max(1.0, 320 / picture.width, 64 / picture.height), max(1.0, 2000 / picture.width))
    scale = min(scale, _LONGEST_SIDE / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _page_scale(page: "Page") -> float:
    heights = sorted(min(_sides(polygon)) for polygon in page.dt_polys)
    wanted = _READABLE_LINE / max(1.0, heights[len(heights) // 2]) if heights else 1.0
    return min(max(1.0, min(wanted, _LARGEST_ENLARGEMENT)), _LONGEST_SIDE / max(page.width, page.height))


def _sides(polygon: Polygon) -> tuple[float, float]:
    """Width and height of a line along its own direction."""
    top_left, top_right, *_, bottom_left = polygon
    return math.dist(top_left, top_right), math.dist(top_left, bottom_left)


def colour_of(index: int) -> Colour:
    """Neighbours differ: the golden angle around the colour wheel, in a lightness that shows on paper."""
    red, green, blue = colorsys.hls_to_rgb((0.58 + index * 0.381966) % 1.0, 0.45, 0.72)
    return round(red * 255), round(green * 255), round(blue * 255)


def mark(image: "Image", polygon: Polygon, colour: Colour, *, fill: float, outline: float) -> None:
    """Fill and outline a polygon, smoothly; `fill` and `outline` are how far they cover, up to 1."""
    from PIL import Image, ImageDraw

    line = max(1.5, min(_sides(polygon)) / 18)
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


def _write(image: "Image", polygon: Polygon, text: str) -> None:
    """The text along the line's own direction, as large as the line allows."""
    if not text.strip():
        return
    width, height = _sides(polygon)
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
