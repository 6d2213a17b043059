"""Pages whose text is known, drawn here and the same on every machine: one kind for each way to differ.

A page carries its lines in the order in which a person reads them. Cyrillic and Hangul are not among the
scripts, because the dictionaries of PP-OCRv4 mobile and PP-OCRv6 small and tiny hold neither.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from random import Random
from typing import Final

from PIL import Image

from benchmarks.page_drawing import (
    Colour,
    Drawn,
    crop_tightly,
    draw_columns,
    draw_lines,
    draw_table,
    draw_vertical,
    fonts,
    goods,
    photographed,
    take,
    tilt,
    write,
)
from benchmarks.page_texts import CHINESE, ENGLISH, GERMAN, JAPANESE, amounts, sentences
from benchmarks.shared_cases import shared_cases
from local.rendering import CHINESE as CHINESE_FACE
from local.rendering import JAPANESE as JAPANESE_FACE
from local.rendering import font_of


@dataclass(frozen=True, kw_only=True)
class LabelledPage:
    """One encoded page of a kind, and its lines in reading order."""

    kind: str
    name: str
    data: bytes
    lines: tuple[str, ...]
    by_words: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way in which pages differ: `draw` makes the page of a number, `pages` says how many there are."""

    about: str
    draw: Callable[[Random, int], Drawn]
    pages: int = 4


def labelled_pages(kinds: Sequence[str], limit: int | None = None) -> Iterator[LabelledPage]:
    """The pages of these kinds, at most `limit` of each."""
    for name in kinds:
        if name == CASES:
            yield from (
                LabelledPage(kind=CASES, name=path.name, data=path.read_bytes(), lines=lines, by_words=words)
                for path, lines, words in shared_cases()[:limit]
            )
            continue
        kind = KINDS[name]
        for number in range(min(kind.pages, limit or kind.pages)):
            drawn = kind.draw(Random(f"{name} {number}"), number)
            yield LabelledPage(
                kind=name,
                name=f"{name}-{number}",
                data=png(drawn.picture),
                lines=drawn.lines,
                by_words=drawn.by_words,
            )


def png(picture: Image.Image) -> bytes:
    """The picture as PNG bytes."""
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def prose(chance: Random, number: int, *, sizes: Sequence[int]) -> Drawn:
    """Twelve English lines."""
    size = sizes[number % len(sizes)]
    lines = take(sentences(ENGLISH, chance, (4, 9)), 12)
    return Drawn(picture=draw_lines(lines, font_of(size), size), lines=lines)


def faces(chance: Random, number: int) -> Drawn:
    """Twelve English lines in another typeface on each page."""
    lines = take(sentences(ENGLISH, chance, (4, 8)), 12)
    font = list(fonts(22).values())[number % 5]
    return Drawn(picture=draw_lines(lines, font, 22), lines=lines)


def colours(chance: Random, number: int) -> Drawn:
    """Light on dark, grey on grey, and other papers."""
    papers: Sequence[tuple[Colour, Colour]] = (
        ((20, 24, 40), (235, 235, 240)),
        ((200, 200, 200), (110, 110, 110)),
        ((250, 240, 200), (120, 30, 20)),
        ((0, 90, 160), (255, 255, 255)),
    )
    paper, ink = papers[number % 4]
    lines = take(sentences(ENGLISH, chance, (4, 8)), 10)
    return Drawn(picture=draw_lines(lines, font_of(24), 24, paper=paper, ink=ink), lines=lines)


def umlauts(chance: Random, number: int) -> Drawn:
    """German: umlauts, sharp s and the euro sign."""
    size = (16, 22, 28, 36)[number % 4]
    lines = take(sentences(GERMAN, chance, (4, 8)), 12)
    return Drawn(picture=draw_lines(lines, font_of(size), size), lines=lines)


def numbers(chance: Random, number: int) -> Drawn:
    """Amounts, dates, references."""
    size = (14, 20, 28, 36)[number % 4]
    lines = take(amounts(chance), 14)
    return Drawn(picture=draw_lines(lines, font_of(size), size), lines=lines)


def ideographs(chance: Random, number: int, *, letters: str, face: int) -> Drawn:
    """Ten lines of Chinese or Japanese."""
    size = (16, 22, 28, 36)[number % 4]
    lines = take(sentences(letters, chance, (6, 18)), 10)
    return Drawn(picture=draw_lines(lines, font_of(size, face), size), lines=lines)


def turned(chance: Random, number: int, *, quarters: int) -> Drawn:
    """A page of fourteen lines, turned by quarters against the clock."""
    size = (18, 24, 30, 36)[number % 4]
    lines = take(sentences(ENGLISH, chance, (4, 8)), 14)
    picture = draw_lines(lines, font_of(size), size)
    return Drawn(picture=picture.rotate(90 * quarters, expand=True), lines=lines)


def skewed(chance: Random, number: int) -> Drawn:
    """A page of prose at one to eight degrees."""
    lines = take(sentences(ENGLISH, chance, (4, 8)), 14)
    degrees = (1, -2, 3, -5, 8, -8)[number % 6]
    return Drawn(picture=tilt(draw_lines(lines, font_of(24), 24), degrees), lines=lines)


def columns(chance: Random, number: int) -> Drawn:
    """Two or three columns of prose."""
    each = sentences(ENGLISH, chance, (3, 5))
    parts = [take(each, 14 - 3 * (place % 2)) for place in range(2 + number % 2)]
    return draw_columns(parts, font_of(22), 22, gap=(50, 80, 36, 60)[number % 4])


def vertical(chance: Random, number: int) -> Drawn:
    """Japanese in columns from right to left."""
    size = (28, 36, 44, 32)[number % 4]
    lines = take(sentences(JAPANESE, chance, (6, 11)), 3 + number % 3)
    return draw_vertical(lines, font_of(size, JAPANESE_FACE), size)


def table(chance: Random, number: int, *, degrees: Sequence[float], gap: int) -> Drawn:
    """A bill of four columns, with and without rules."""
    rows = [("Item", "Qty", "Price", "Sum"), *goods(chance, 8)]
    drawn = draw_table(rows, font_of(24), 24, ruled=number % 2 == 1, gap=gap)
    picture = tilt(drawn.picture, degrees[number % len(degrees)])
    return Drawn(picture=picture, lines=drawn.lines, by_words=True)


def transparent(chance: Random, number: int) -> Drawn:
    """Only the letters are opaque: dark, light, grey with alpha, and a palette."""
    lines = take(sentences(ENGLISH, chance, (3, 6)), 5)
    font = font_of(26)
    width = int(max(map(font.getlength, lines))) + 80
    light = number % 2 == 1
    ink = (255, 255, 255, 255) if light else (0, 0, 0, 255)
    picture = Image.new("RGBA", (width, 300), (255, 255, 255, 0) if light else (0, 0, 0, 0))
    write(picture, lines, font, 26, (40, 40), ink=ink)
    return Drawn(picture=picture.convert(("RGBA", "RGBA", "LA", "RGBA")[number % 4]), lines=lines)


def tall(chance: Random, _: int) -> Drawn:
    """A screenshot of 1080 x 12000 pixels; 150 lines."""
    lines = take(sentences(ENGLISH, chance, (4, 7)), 150)
    picture = Image.new("RGB", (1080, 12_000), "white")
    write(picture, lines, font_of(34), 34, (30, 20), pitch=79.7 / 34)
    return Drawn(picture=picture, lines=lines)


def receipt(chance: Random, _: int) -> Drawn:
    """A till's receipt of 600 x 6000 pixels: goods on the left, sums on the right."""
    prices = [f"{price / 100:.2f}" for price in chance.sample(range(101, 9999), 140)]
    names = [f"{chance.choice(ENGLISH.split()).strip('.,;()').title()}-{place}" for place in range(140)]
    font = font_of(24)
    picture = Image.new("RGB", (600, 6000), "white")
    write(picture, names, font, 24, (30, 30), pitch=42 / 24)
    for place, price in enumerate(prices):
        write(picture, [price], font, 24, (570 - int(font.getlength(price)), 30 + 42 * place))
    pairs = zip(names, prices, strict=True)
    return Drawn(picture=picture, lines=tuple(cell for pair in pairs for cell in pair), by_words=True)


def wide(chance: Random, number: int) -> Drawn:
    """A banner: 4,000 to 6,000 pixels wide, 400 high, text of 30 pixels."""
    lines = take(sentences(ENGLISH, chance, (4, 8)), 6)
    picture = Image.new("RGB", (4000 + 1000 * (number % 3), 400), "white")
    for place, line in enumerate(lines):
        write(picture, [line], font_of(30), 30, (60 + place * (picture.width // 7), 30 + 55 * place))
    return Drawn(picture=picture, lines=lines)


def large_page(chance: Random, number: int) -> Drawn:
    """A poster of 3,300 x 4,700 pixels with print of 24 to 40 pixels in it."""
    size = (24, 32, 40)[number % 3]
    lines = take(sentences(ENGLISH, chance, (5, 9)), 24)
    picture = Image.new("RGB", (3300, 4700), "white")
    write(picture, lines, font_of(size), size, (300, 500), pitch=4.5)
    return Drawn(picture=picture, lines=lines)


def huge_letters(chance: Random, number: int) -> Drawn:
    """A sign of 2,400 x 1,600 pixels: three words in letters of 240 to 480 pixels."""
    size = (240, 360, 480)[number % 3]
    words = chance.sample(("OPEN", "Exit", "Café", "Gate 7", "Milk", "SALE"), 3)
    picture = Image.new("RGB", (2400, 1600), (235, 220, 60))
    write(picture, words, font_of(size), size, (150, 40), pitch=500 / size)
    return Drawn(picture=picture, lines=tuple(words))


def flat(chance: Random, number: int) -> Drawn:
    """One line and nothing else, 15 to 50 times as wide as it is high."""
    size = (24, 30, 20, 26)[number % 4]
    words = (10, 14, 20, 28)[number % 4]
    (line,) = take(sentences(ENGLISH, chance, (words, words)), 1)
    return Drawn(picture=draw_lines([line], font_of(size), size, margin=6, pitch=1.4), lines=(line,))


def tight(chance: Random, number: int) -> Drawn:
    """One line cut out at its ink, with 0 to 4 pixels around it."""
    size = (20, 28, 36, 48)[number % 4]
    lines = take(sentences(ENGLISH, chance, (1, 5)) if number % 2 else amounts(chance), 1)
    return Drawn(picture=crop_tightly(lines[0], font_of(size), size, number % 5), lines=lines)


def camera(chance: Random, number: int) -> Drawn:
    """A page as a telephone sees it."""
    size = (22, 26, 30, 34)[number % 4]
    lines = take(sentences(GERMAN if number % 2 else ENGLISH, chance, (4, 7)), 14)
    return Drawn(picture=photographed(draw_lines(lines, font_of(size), size), chance), lines=lines)


def printed(_: Random, number: int) -> Drawn:
    """A photograph of print, scikit-image's `page`: as it is, and at twice its size."""
    from skimage import data

    picture = Image.fromarray(data.page())  # type: ignore[no-untyped-call]
    size = (picture.width * (number + 1), picture.height * (number + 1))
    return Drawn(picture=picture.resize(size, Image.Resampling.BICUBIC).crop((0, 0, *size)), lines=PRINTED)


CASES: Final = "cases"
PRINTED: Final = (
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    ">>> markers = np.zeros_like(coins)",
)

KINDS: Final[Mapping[str, Kind]] = {
    "small print": Kind(about="12 and 14 px", draw=partial(prose, sizes=(12, 14))),
    "print": Kind(about="16 to 24 px", draw=partial(prose, sizes=(16, 18, 20, 24))),
    "large print": Kind(about="28 to 40 px", draw=partial(prose, sizes=(28, 32, 36, 40))),
    "fonts": Kind(about="five typefaces: bold, italic, two sans", draw=faces, pages=5),
    "colours": Kind(about="light on dark, grey on grey", draw=colours),
    "umlauts": Kind(about="German with the euro sign", draw=umlauts),
    "numbers": Kind(about="amounts, dates, references", draw=numbers),
    "Chinese": Kind(about="16 to 36 px", draw=partial(ideographs, letters=CHINESE, face=CHINESE_FACE)),
    "Japanese": Kind(about="16 to 36 px", draw=partial(ideographs, letters=JAPANESE, face=JAPANESE_FACE)),
    "vertical": Kind(about="Japanese columns, right to left", draw=vertical),
    "turned 90": Kind(about="a page turned by 90 degrees", draw=partial(turned, quarters=1)),
    "turned 180": Kind(about="a page upside down", draw=partial(turned, quarters=2)),
    "turned 270": Kind(about="a page turned by 270 degrees", draw=partial(turned, quarters=3)),
    "skew": Kind(about="prose at 1 to 8 degrees", draw=skewed, pages=6),
    "columns": Kind(about="two and three columns of prose", draw=columns),
    "table": Kind(about="a bill, ruled and not, by words", draw=partial(table, degrees=(0,), gap=48)),
    "table, skewed": Kind(
        about="cells far apart, at 1 to 3 degrees", draw=partial(table, degrees=(2, -2, 3, -1), gap=190)
    ),
    "transparent": Kind(about="dark and light letters, the rest clear", draw=transparent),
    "tall": Kind(about="a screenshot of 1080 x 12000", draw=tall, pages=1),
    "receipt": Kind(about="600 x 6000, names and sums, by words", draw=receipt, pages=1),
    "wide": Kind(about="a banner of 4000 to 6000 x 400", draw=wide, pages=3),
    "large page": Kind(about="3300 x 4700 with print of 24 to 40 px", draw=large_page, pages=3),
    "huge letters": Kind(about="2400 x 1600, letters of 240 to 480 px", draw=huge_letters, pages=3),
    "flat": Kind(about="one line, 15 to 50 times as wide as high", draw=flat),
    "tight": Kind(about="one line, cut out at its ink", draw=tight, pages=10),
    "camera": Kind(about="from the side, shaded, noisy", draw=camera),
    "printed": Kind(about="scikit-image's page, also doubled", draw=printed, pages=2),
}
"""Every kind that is drawn; `cases` are the pictures of shared/, where they are."""
