"""The page of the Python API: what `paddlewheel` exports, and for the site what each name has."""

import inspect
from typing import Any, Final

import paddlewheel
from docs.generate.markdown import code, first_sentence, wrap, write_page, write_table
from paddlewheel.contracts.base import TaskSpec
from paddlewheel.errors import PaddlewheelError

_MODULES: Final = ("paddlewheel.in_memory.InMemoryClient", "paddlewheel.in_memory.AsyncInMemoryClient")


def write_python() -> str:
    """A table of all names, then a directive for each that is no task and no error."""
    named = {name: getattr(paddlewheel, name) for name in paddlewheel.__all__}
    return write_page(
        "Python API",
        wrap(
            "`import paddlewheel` gives these names and no others. Tasks are on the page"
            " [Tasks](tasks.md), the fields of results on [Results](results.md), errors on"
            " [Errors](errors.md). The clients without a server are in `paddlewheel.in_memory`. The"
            " blocks at the end are filled in on the built site; on disk, read the docstrings of the"
            " classes that they name."
        ),
        write_table(
            ("name", "kind", "meaning"),
            [(code(name), _kind(value), _meaning(value)) for name, value in named.items()],
        ),
        "## Classes and functions",
        *(f"::: paddlewheel.{name}" for name, value in named.items() if _is_documented(value)),
        *(f"::: {name}" for name in _MODULES),
    )


def _kind(value: Any) -> str:
    if isinstance(value, TaskSpec):
        return "task"
    if not inspect.isclass(value):
        return "function" if callable(value) and inspect.isfunction(value) else "type"
    return "error" if issubclass(value, PaddlewheelError) else "class"


def _meaning(value: Any) -> str:
    if isinstance(value, TaskSpec):
        return f"{code(value.name)}: {first_sentence(value.request.__doc__)}"
    return first_sentence(value.__doc__) if inspect.isclass(value) or inspect.isfunction(value) else ""


def _is_documented(value: Any) -> bool:
    return inspect.isfunction(value) or (inspect.isclass(value) and not issubclass(value, PaddlewheelError))
