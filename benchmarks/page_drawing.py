"""How labelled pages are drawn: lines of text on a picture, columns, tables, turns and what a camera does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.page_texts import GOODS
from local.rendering import font_of

Picture = Image.Image
Colour = tuple[int, int, int]
WHITE: Final = (255, 255, 255)
INK: Final = (24, 26, 32)
PITCH: Final = 1.7
"""Font sizes from one line to the next."""

BOLD: Final = 700
FONTS: Final = Path(str(files("manimgx_fonts")))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture and its lines in reading order; `by_words` where any line may be cut at its spaces."""

    picture: Picture
    lines: tuple[str, ...]
    by_words: bool = False


def fonts(size: int) -> dict[str, Any]:
    """The typefaces of Latin pages, by name."""
    bold = font_of(size)
    bold.set_variation_by_axes([BOLD])
    sans, italic = (
        ImageFont.truetype(str(FONTS / name), size)
        for name in ("NotoSans[wght].ttf", "NotoSans-Italic[wght].ttf")
    )
    return {
        "plain": font_of(size),
        "bold": bold,
        "sans": sans,
        "italic": italic,
        "Aileron": ImageFont.load_default(size),
    }


def draw_lines(
    lines: Sequence[str],
    font: Any,
    size: int,
    *,
    margin: int = 40,
    paper: Colour = WHITE,
    ink: Colour = INK,
    pitch: float = PITCH,
) -> Picture:
    """Lines one below the other, on a picture that is as large as they need."""
    width = max(int(font.getlength(line)) for line in lines) + 2 * margin
    picture = Image.new("RGB", (width, int(pitch * size * len(lines)) + 2 * margin), paper)
    write(picture, lines, font, size, (margin, margin), ink=ink, pitch=pitch)
    return picture


def write(
    picture: Picture,
    lines: Sequence[str],
    font: Any,
    size: int,
    at: tuple[int, int],
    *,
    ink: Any = INK,
    pitch: float = PITCH,
) -> None:
    """Lines one below the other, from this left top corner."""
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((at[0], at[1] + int(number * pitch * size)), line, font=font, fill=ink)


def crop_tightly(line: str, font: Any, size: int, margin: int) -> Picture:
    """One line, cut out at its ink, with so many pixels around it."""
    picture = draw_lines([line], font, size)
    box = Image.eval(picture.convert("L"), lambda value: 255 * (value < 128)).getbbox()
    assert box is not None
    return picture.crop((box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin))


def draw_columns(columns: Sequence[Sequence[str]], font: Any, size: int, gap: int) -> Drawn:
    """Columns side by side; each is read to its end before the next."""
    widths = [max(int(font.getlength(line)) for line in lines) for lines in columns]
    height = int(max(map(len, columns)) * PITCH * size) + 120
    picture = Image.new("RGB", (sum(widths) + gap * (len(columns) - 1) + 120, height), WHITE)
    left = 60
    for lines, width in zip(columns, widths, strict=True):
        write(picture, lines, font, size, (left, 60), ink=INK)
        left += width + gap
    return Drawn(picture=picture, lines=tuple(line for lines in columns for line in lines))


def draw_vertical(columns: Sequence[str], font: Any, size: int) -> Drawn:
    """Columns of letters one below the other, the first column on the right."""
    pitch = int(1.8 * size)
    picture = Image.new(
        "RGB", (pitch * len(columns) + 80, int(1.1 * size) * max(map(len, columns)) + 80), WHITE
    )
    pen = ImageDraw.Draw(picture)
    for number, column in enumerate(columns):
        left = picture.width - 40 - size - number * pitch
        for place, letter in enumerate(column):
            pen.text((left, 40 + int(1.1 * size) * place), letter, font=font, fill=INK)
    return Drawn(picture=picture, lines=tuple(columns))


def goods(chance: Random, count: int) -> Iterator[tuple[str, str, str, str]]:
    """Rows of a bill: what, how many, the price, the sum; no number twice."""
    prices = chance.sample(range(105, 999), count)
    for name, number, price in zip(chance.sample(GOODS, count), range(11, 11 + count), prices, strict=False):
        yield name, str(number), f"{price / 100:.2f}", f"{number * price / 100:.2f}"


def draw_table(rows: Sequence[Sequence[str]], font: Any, size: int, *, ruled: bool, gap: int) -> Drawn:
    """Cells in rows, at least `gap` pixels apart; numbers are set to the right. Read row by row."""
    width = int(max(font.getlength(cell) for row in rows for cell in row)) + gap
    height = int(1.7 * size)
    columns = len(rows[0])
    picture = Image.new("RGB", (width * columns + 120, height * len(rows) + 120), WHITE)
    pen = ImageDraw.Draw(picture)
    for top, row in enumerate(rows):
        for left, cell in enumerate(row):
            x = 60 + left * width + (0 if left == 0 else width - size - int(font.getlength(cell)))
            pen.text((x + size // 2, 60 + top * height + size // 4), cell, font=font, fill=INK)
    if ruled:
        right, bottom = 60 + width * columns, 60 + height * len(rows)
        for top in range(len(rows) + 1):
            pen.line((60, 60 + top * height, right, 60 + top * height), fill=(120, 120, 120), width=1)
        for left in range(columns + 1):
            pen.line((60 + left * width, 60, 60 + left * width, bottom), fill=(120, 120, 120), width=1)
    return Drawn(picture=picture, lines=tuple(cell for row in rows for cell in row), by_words=True)


def tilt(picture: Picture, degrees: float) -> Picture:
    """The picture turned against the clock by some degrees, on white."""
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=WHITE)


def photographed(picture: Picture, chance: Random) -> Picture:
    """As a telephone shows a page: from the side, shaded, a little blurred, with noise, on a dark table."""
    width, height = picture.size
    spread = 0.05
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    moved = corners + np.array(
        [[chance.uniform(0, spread) * width, chance.uniform(0, spread) * height] for _ in range(4)],
        dtype=np.float32,
    )
    transform = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    size = (int(width * (1 + spread)), int(height * (1 + spread)))
    seen = cv2.warpPerspective(
        np.asarray(picture), transform, size, flags=cv2.INTER_AREA, borderValue=(70, 60, 55)
    )
    shade = np.linspace(1.0, chance.uniform(0.5, 0.8), size[0])[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(chance.randrange(2**32)).normal(0, 6, seen.shape)
    pixels = np.clip(seen * shade + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.6))


def take(lines: Iterator[str], count: int) -> tuple[str, ...]:
    """The next so many lines."""
    return tuple(islice(lines, count))
