"""Text lines for the benchmarks: rendered, in several sizes and scripts, with a fixed seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

WORDS: Final = (
    "the quick brown fox jumps over a lazy dog while invoices total 1,284.50 EUR on 2026-11-21 order No. 7731 "
    "page of region segmentation between coins and background threshold markers edges found quickly"
).split()
CHINESE: Final = "绿洲仕格维花园公寓文本识别模块是系统中的核心部分负责从图像中的文本区域提取出文本信息"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A rendered line: its text and its PNG bytes."""

    text: str
    png: bytes


def render_lines(count: int, *, seed: int = 7, longest: int = 12) -> list[Line]:
    """Lines of 1 to `longest` words, a fifth of them Chinese, 18 to 48 px high letters."""
    return list(_lines(count, random.Random(seed), longest))


def render(text: str, size: int, *, script: int = 0) -> Image.Image:
    """One line, dark on light. `script` is the face of the font collection: 2 is simplified Chinese."""
    font = ImageFont.truetype(str(font_file()), size, index=script)
    left, top, right, bottom = font.getbbox(text)
    pad = size // 3
    image = Image.new("RGB", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), (250, 250, 247))
    ImageDraw.Draw(image).text((pad - left, pad - top), text, font=font, fill=(25, 25, 30))
    return image


def font_file() -> Path:
    """The font collection that the demo's package brings."""
    return Path(str(files("manimgx_fonts_cjk"))) / "NotoSansCJK-VF.otf.ttc"


def _lines(count: int, chance: random.Random, longest: int) -> Iterator[Line]:
    for _ in range(count):
        if chance.random() < 0.2:
            start = chance.randrange(len(CHINESE) - 12)
            text = CHINESE[start : start + chance.randint(3, 12)]
        else:
            text = " ".join(chance.choices(WORDS, k=chance.randint(1, longest)))
        buffer = BytesIO()
        render(text, chance.choice((18, 24, 32, 48)), script=2).save(buffer, "PNG")
        yield Line(text=text, png=buffer.getvalue())
