"""Pieces of Markdown: tables, wrapped paragraphs, docstrings."""

import inspect
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 105

NOTICE: Final = "<!-- Written by `make reference` from the code. Edit the code, not this page. -->"


def write_page(title: str, *blocks: str) -> str:
    """A whole page: the title, the notice, and the blocks with an empty line between two."""
    return "\n\n".join([f"# {title}", NOTICE, *(block for block in blocks if block)]) + "\n"


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing if it has no rows. A bar inside a cell is escaped."""
    lines = [_write_row([cell.replace("|", "\\|") for cell in row]) for row in rows]
    return "\n".join([_write_row(header), _write_row(["---"] * len(header)), *lines]) if lines else ""


def wrap(text: str) -> str:
    """Paragraphs, each as lines of the page's width."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        textwrap.fill(" ".join(each.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
        for each in paragraphs
    )


def first_sentence(docstring: str | None) -> str:
    """The first line of a docstring."""
    return (docstring or "").strip().split("\n")[0]


def code(text: object) -> str:
    """Text as code, or nothing if there is none."""
    return f"`{text}`" if str(text) else ""


def _write_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
