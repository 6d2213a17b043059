"""Pages as people write them: `1-3,7`, counted from 1 as in a viewer."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_RANGE = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?\Z")


def page_indices(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Page indices, counted from 0 as in the contracts, each once, in the order given."""
    if value is None:
        return None
    indices: dict[int, None] = {}
    for part in value.split(","):
        found = _RANGE.match(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last:
            raise click.BadParameter(
                f"'{value}' is not a list of pages such as 1-3,7.", ctx=context, param=parameter
            )
        indices |= dict.fromkeys(range(first - 1, last))
    return tuple(indices)


def page_option(command: _Command) -> _Command:
    """One page of a PDF, for tasks that look at one picture; the command gets it as `page_index`, from 0."""
    option = click.option(
        "--page",
        "page_index",
        metavar="PAGE",
        type=click.IntRange(1, 99_999),
        callback=_index,
        help="The page of a PDF, from 1; the first unless given. With it a folder's PDFs are taken too.",
    )
    return option(command)


def _index(context: click.Context, parameter: click.Parameter, page: int | None) -> int | None:
    del context, parameter
    return None if page is None else page - 1
