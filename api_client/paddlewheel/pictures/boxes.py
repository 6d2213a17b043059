"""Results drawn on their pictures: boxes with captions at faces, lines of text below a picture."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from paddlewheel.errors import UnsupportedSource
from paddlewheel.pictures.drawing import DESK, GREY, INK, PAPER, colour_of, comfortable, mark
from paddlewheel.pictures.fonts import Colour, Lettering
from paddlewheel.pictures.opening import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from paddlewheel.contracts.faces import FaceResult

_SMALLEST_SIDE: Final = 640
"""Pixels: a smaller picture is enlarged, so that captions can be read."""
_LARGEST_ENLARGEMENT: Final = 3.0
_LARGEST_SIDE: Final = 4096
_FILL: Final = 0.08
_WHITE: Final[Colour] = (255, 255, 255)
_MOST_ROWS: Final = 10


def draw_faces(result: "FaceResult", data: bytes) -> "Image":
    """The picture with a box and a caption at each face, and dots where its landmarks are.

    Faces of one person have one colour. Raises UnsupportedSource where the picture is of another size.
    """
    from PIL import Image, ImageDraw

    picture = open_picture(data, page_index=result.page_index, size=(result.width, result.height))
    if picture.size != (result.width, result.height):
        raise UnsupportedSource(
            f"The picture is {picture.width} x {picture.height} pixels and the faces were found in one of "
            f"{result.width} x {result.height}: it is another picture. Give the right one as image=."
        )
    scale = _scale(result.width, result.height)
    size = (max(1, round(result.width * scale)), max(1, round(result.height * scale)))
    drawn = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
    colours: dict[object, Colour] = {}
    for number, face in enumerate(result.faces):
        person = getattr(face, "label", None) or number
        colour = colours.setdefault(person, colour_of(len(colours)))
        left, top, right, bottom = (side * scale for side in face.bbox)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        mark(drawn, corners, colour, fill=_FILL, outline=1.0)
        draw = ImageDraw.Draw(drawn)
        _dot(draw, [(x * scale, y * scale) for x, y in face.landmarks or ()], colour, (right - left) / 50)
        _caption(draw, drawn.size, (left, top, right, bottom), face.caption, colour)
    return drawn


def draw_captions(
    data: bytes, page_index: int | None, rows: Sequence[tuple[str, float]], *, otherwise: str = ""
) -> "Image":
    """The picture above, a line for each row below: its text on the left, its score on the right."""
    from PIL import Image, ImageDraw

    picture = comfortable(open_picture(data, page_index=page_index))
    lines = [(Lettering(text), Lettering(f"{score:.4f}")) for text, score in rows[:_MOST_ROWS]]
    lines = lines or [(Lettering(otherwise), Lettering(""))]
    size = min(32, max(16, picture.width // 24))
    margin, step = size // 2, round(1.5 * size)
    widest = max(text.width(size) + score.width(size) for text, score in lines)
    width = min(_LARGEST_SIDE, math.ceil(max(picture.width, widest + 4 * margin)))
    drawn = Image.new("RGB", (width, picture.height + 2 * margin + step * len(lines)), PAPER)
    drawn.paste(DESK, (0, 0, width, picture.height))
    drawn.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(drawn)
    for row, (text, score) in enumerate(lines):
        middle = picture.height + margin + (row + 0.5) * step
        start = width - margin - score.width(size)
        score.draw(draw, (start, width - margin), middle, size, GREY)
        text.draw(draw, (margin, start - margin), middle, size, INK)
    return drawn


def _scale(width: int, height: int) -> float:
    wanted = min(_LARGEST_ENLARGEMENT, max(1.0, _SMALLEST_SIDE / min(width, height)))
    return min(wanted, _LARGEST_SIDE / max(width, height))


def _dot(draw: "ImageDraw", points: Sequence[tuple[float, float]], colour: Colour, radius: float) -> None:
    size = max(1.5, radius)
    for x, y in points:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour, outline=_WHITE)


def _caption(
    draw: "ImageDraw",
    canvas: tuple[int, int],
    box: tuple[float, float, float, float],
    text: str,
    colour: Colour,
) -> None:
    """White on the box's colour, above the box, or within it where there is no room above."""
    left, top, right, _ = box
    letters = Lettering(text)
    size = round(min(40.0, max(14.0, (right - left) / 7)))
    height, width = round(1.4 * size), math.ceil(letters.width(size) + 0.6 * size)
    x = max(0.0, min(left, canvas[0] - width))
    y = top - height if top >= height else max(0.0, top)
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    inset = 0.3 * size
    letters.draw(draw, (x + inset, x + width - inset), y + height / 2, size, _WHITE)
