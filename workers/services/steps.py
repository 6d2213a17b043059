"""Work that pauses where it waits for a batch, so that the items of one task wait together.

A piece of work is a generator that yields each time it has submitted something and would next wait for the
answer. One piece is simply run to its end; many take turns, and their items meet in the batcher.
"""

import logging
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from pydantic import BaseModel

from paddlewheel.contracts.base import ItemError, Outcome
from paddlewheel.errors import InternalError, PaddlewheelError

T = TypeVar("T")
ResultT = TypeVar("ResultT", bound=BaseModel)
Steps: TypeAlias = Generator[None, None, T]
"""Yields before each wait; returns the result."""

AT_ONCE: Final = 32
"""Pieces under way at a time: each may hold a decoded picture."""

log = logging.getLogger(__name__)


def run(steps: Steps[T]) -> T:
    """Run one piece of work to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def run_each(works: Iterable[Steps[T]]) -> Iterator[T | PaddlewheelError]:
    """Run many, a bounded number at a time, in turns; results in order, an error in its item's place."""
    rest = iter(works)
    while portion := list(islice(rest, AT_ONCE)):
        yield from _in_turns(portion)


def outcomes(works: Iterable[Steps[ResultT]]) -> tuple[Outcome[ResultT], ...]:
    """`run_each` as the outcomes of a task's items."""
    return tuple(
        Outcome(error=ItemError(code=each.code, message=each.message))
        if isinstance(each, PaddlewheelError)
        else Outcome(result=each)
        for each in run_each(works)
    )


def _in_turns(works: list[Steps[T]]) -> list[T | PaddlewheelError]:
    results: dict[int, T | PaddlewheelError] = {}
    while len(results) < len(works):
        for place, steps in enumerate(works):
            if place in results:
                continue
            try:
                next(steps)
            except StopIteration as done:
                results[place] = done.value
            except PaddlewheelError as err:
                results[place] = err
            except Exception:
                log.exception("an item of many failed unexpectedly")
                results[place] = InternalError(
                    "The item failed unexpectedly; the worker's log has the details."
                )
    return [results[place] for place in range(len(works))]
