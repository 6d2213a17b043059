"""Work that pauses where it waits for a batch, so that the items of one task wait together.

A piece of work is a generator that yields each time it has submitted something and would next wait for the
answer. `run` runs one piece to its end; `run_each` lets many take turns, and their items meet in the batcher.
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


def run_each(works: Iterable[Steps[T]], *, at_once: int = AT_ONCE) -> Iterator[T | PaddlewheelError]:
    """Run many in turns, `at_once` at a time; results in order, an error in its item's place.

    Each piece is started as soon as it is taken from `works`. Raises what `works` itself raises.
    """
    rest = iter(works)
    while results := _take_turns(islice(rest, at_once)):
        yield from results


def collect_outcomes(results: Iterable[ResultT | PaddlewheelError]) -> tuple[Outcome[ResultT], ...]:
    """Results and errors as the outcomes of a task's items."""
    return tuple(
        Outcome(error=ItemError(code=each.code, message=each.message))
        if isinstance(each, PaddlewheelError)
        else Outcome(result=each)
        for each in results
    )


def _take_turns(works: Iterable[Steps[T]]) -> list[T | PaddlewheelError]:
    results: dict[int, T | PaddlewheelError] = {}
    started: list[Steps[T]] = []
    for place, steps in enumerate(works):
        started.append(steps)
        _advance(steps, place, results)
    while len(results) < len(started):
        for place, steps in enumerate(started):
            if place not in results:
                _advance(steps, place, results)
    return [results[place] for place in range(len(started))]


def _advance(steps: Steps[T], place: int, results: dict[int, T | PaddlewheelError]) -> None:
    """Run a piece to its next wait; at its end, note its result or its error."""
    try:
        next(steps)
    except StopIteration as done:
        results[place] = done.value
    except PaddlewheelError as err:
        results[place] = err
    except Exception:
        log.exception("an item of many failed unexpectedly")
        results[place] = InternalError("The item failed unexpectedly; the worker's log has the details.")
