"""Pages as people write them: `1-3,7`, counted from 1 as in a viewer."""

import re

import click

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
