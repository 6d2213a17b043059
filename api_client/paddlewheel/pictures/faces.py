"""A picture with a box and a caption at each face."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from paddlewheel.pictures.canvas import LARGEST_ENLARGEMENT, LONGEST_SIDE, colour_of, enlarge, mark
from paddlewheel.pictures.fonts import Colour, Lettering, needs_pictures
from paddlewheel.pictures.loading import open_picture_of_size

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_SMALLEST_SIDE: Final = 640
"""Pixels: a smaller picture is enlarged, so that captions can be read."""
_FILL: Final = 0.08
_WHITE: Final[Colour] = (255, 255, 255)


class MarkedFace(Protocol):
    """A face: left, top, right, bottom in pixels, its landmarks (x, y), and what is written at it.

    Faces that have the same `label` are marked in one colour.
    """

    @property
    def bbox(self) -> tuple[float, float, float, float]: ...
    @property
    def landmarks(self) -> Sequence[tuple[float, ...]] | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def caption(self) -> str: ...


class MarkedFaces(Protocol):
    """The faces in a picture of `width` x `height` pixels."""

    @property
    def page_index(self) -> int | None: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def faces(self) -> Sequence[MarkedFace]: ...


@needs_pictures
def draw_faces(result: MarkedFaces, data: bytes) -> "Image":
    """The picture with a box and a caption at each face, and dots where its landmarks are.

    Faces of one person have one colour. Raises UnsupportedSource where the picture is of another size.
    """
    from PIL import ImageDraw

    picture = open_picture_of_size(
        data,
        page_index=result.page_index,
        size=(result.width, result.height),
        found="the faces were found in one of",
    )
    scale = _scale(result.width, result.height)
    drawn = enlarge(picture, scale)
    colours: dict[object, Colour] = {}
    for number, face in enumerate(result.faces):
        person = face.label or number
        colour = colours.setdefault(person, colour_of(len(colours)))
        left, top, right, bottom = (side * scale for side in face.bbox)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        mark(drawn, corners, colour, fill=_FILL, outline=1.0)
        draw = ImageDraw.Draw(drawn)
        _dot(draw, [(x * scale, y * scale) for x, y in face.landmarks or ()], colour, (right - left) / 50)
        _caption(draw, drawn.size, (left, top, right, bottom), face.caption, colour)
    return drawn


def _scale(width: int, height: int) -> float:
    wanted = min(LARGEST_ENLARGEMENT, max(1.0, _SMALLEST_SIDE / min(width, height)))
    return min(wanted, LONGEST_SIDE / max(width, height))


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
