"""How far a long operation has come."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many rows of it are done, and how many there are."""

_EVERY = 1000


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


def count_rows(rows: Iterable[T], what: str, total: int, progress: Progress) -> Iterator[T]:
    """The rows themselves; progress is reported every thousand rows and at the end."""
    for number, row in enumerate(rows):
        if number % _EVERY == 0:
            progress(what, number, total)
        yield row
    progress(what, total, total)
