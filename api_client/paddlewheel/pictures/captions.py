"""Captions below a picture: a line's text and score, or rows of names and scores."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from paddlewheel.pictures.canvas import DESK, GREY, INK, LONGEST_SIDE, PAPER, enlarge_small
from paddlewheel.pictures.fonts import Lettering, needs_pictures
from paddlewheel.pictures.loading import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_ROWS: Final = 10


class CaptionedLine(Protocol):
    """A line of text that was recognized in a picture."""

    @property
    def page_index(self) -> int | None: ...
    @property
    def rec_text(self) -> str: ...
    @property
    def rec_score(self) -> float: ...


@needs_pictures
def draw_line(line: CaptionedLine, data: bytes) -> "Image":
    """The line above, its text and score below."""
    picture = enlarge_small(open_picture(data, page_index=line.page_index))
    from PIL import Image, ImageDraw

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


@needs_pictures
def draw_captions(
    data: bytes, page_index: int | None, rows: Sequence[tuple[str, float]], *, otherwise: str = ""
) -> "Image":
    """The picture above, a line for each row below: its text on the left, its score on the right."""
    picture = enlarge_small(open_picture(data, page_index=page_index))
    from PIL import Image, ImageDraw

    lines = [(Lettering(text), Lettering(f"{score:.4f}")) for text, score in rows[:_MOST_ROWS]]
    lines = lines or [(Lettering(otherwise), Lettering(""))]
    size = min(32, max(16, picture.width // 24))
    margin, step = size // 2, round(1.5 * size)
    widest = max(text.width(size) + score.width(size) for text, score in lines)
    width = min(LONGEST_SIDE, math.ceil(max(picture.width, widest + 4 * margin)))
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
