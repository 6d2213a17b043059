"""How far a long operation has come, for who waits for it."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many rows of it are done, and how many there are."""

_EVERY = 1000


def silent(what: str, done: int, total: int) -> None:
    """The progress of an operation that nobody watches."""


def counted(rows: Iterable[T], what: str, total: int, progress: Progress) -> Iterator[T]:
    """The rows themselves, told every thousand of them and at the end."""
    for number, row in enumerate(rows):
        if number % _EVERY == 0:
            progress(what, number, total)
        yield row
    progress(what, total, total)
