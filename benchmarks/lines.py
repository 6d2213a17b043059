"""Text lines for the benchmarks: rendered, in several sizes and scripts, with a fixed seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from local.rendering import draw_line, png

WORDS: Final = """
the quick brown fox jumps over a lazy dog while invoices total 1,284.50 EUR on 2026-11-21 order No. 7731
page of region segmentation between coins and background threshold markers edges found quickly
"""
CHINESE_TEXT: Final = "绿洲仕格维花园公寓文本识别模块是系统中的核心部分负责从图像中的文本区域提取出文本信息"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A rendered line: its text and its PNG bytes."""

    text: str
    png: bytes


def render_lines(count: int, *, seed: int = 7, longest: int = 12) -> list[Line]:
    """Lines of 1 to `longest` words, a fifth of them Chinese, letters 18 to 48 pixels high."""
    return list(_lines(count, random.Random(seed), longest))


def _lines(count: int, chance: random.Random, longest: int) -> Iterator[Line]:
    for _ in range(count):
        if chance.random() < 0.2:
            start = chance.randrange(len(CHINESE_TEXT) - 12)
            text = CHINESE_TEXT[start : start + chance.randint(3, 12)]
        else:
            text = " ".join(chance.choices(WORDS.split(), k=chance.randint(1, longest)))
        yield Line(text=text, png=png(draw_line(text, chance.choice((18, 24, 32, 48)))))
