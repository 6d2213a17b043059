"""Renders text as pictures for the demo, the benchmarks and the tests."""

from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

JAPANESE: Final = 0
KOREAN: Final = 1
CHINESE: Final = 2
"""Faces of the font collection; each one has Latin letters too."""

REGULAR: Final = 400
"""The font weight; the file's default is its thinnest."""


def draw_line(text: str, size: int, face: int = CHINESE) -> Image.Image:
    """Draw one line, dark on light, in a font of `size` pixels."""
    font = font_of(size, face)
    left, top, right, bottom = font.getbbox(text)
    pad = size // 3
    image = Image.new("RGB", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), (250, 250, 246))
    ImageDraw.Draw(image).text((pad - left, pad - top), text, font=font, fill=(24, 26, 32))
    return image


def draw_page(lines: Sequence[str]) -> Image.Image:
    """Draw an A5 page at 150 dpi: a heading and its lines."""
    page = Image.new("RGB", (874, 1240), "white")
    pen = ImageDraw.Draw(page)
    pen.text((90, 100), lines[0], font=font_of(46), fill=(20, 20, 24))
    for number, line in enumerate(lines[1:]):
        pen.text((90, 220 + 58 * number), line, font=font_of(28), fill=(20, 20, 24))
    return page


def font_of(size: int, face: int = CHINESE) -> ImageFont.FreeTypeFont:
    """Load a face of the demo's font collection."""
    path = Path(str(files("manimgx_fonts_cjk"))) / "NotoSansCJK-VF.otf.ttc"
    font = ImageFont.truetype(str(path), size, index=face)
    font.set_variation_by_axes([REGULAR])
    return font


def png(image: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
