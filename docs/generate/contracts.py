"""The pages of tasks and results, from the contracts that both sides of the queue import."""

import inspect
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel

import paddlewheel
from docs.generate.json_types import fields_of
from docs.generate.markdown import code, wrap, write_page, write_table
from paddlewheel.contracts.base import Many, TaskSpec
from paddlewheel.contracts.known_tasks import TASKS

Mode = Literal["validation", "serialization"]

_HEADER: Final = ("field", "type", "default")
_BULK: Final = tuple(spec for spec in TASKS if issubclass(spec.request, Many))
_SINGLE: Final = tuple(spec for spec in TASKS if spec not in _BULK)
_NAMES: Final = {id(value): name for name, value in vars(paddlewheel).items() if isinstance(value, TaskSpec)}


def write_tasks() -> str:
    """Every task: its names, its queue, its request field by field."""
    requests = [spec.request for spec in _SINGLE]
    return write_page(
        "Tasks",
        wrap(
            "A task has one name, one queue, one request and one result. A Python caller enqueues the"
            " constant; every other caller sends the request as JSON under the task's name. A request"
            " with a field that is not listed here is refused with `invalid_request`. The page"
            " [Results](results.md) lists what comes back."
        ),
        write_table(("constant", "task", "queue", "request", "result"), [_row(spec) for spec in _SINGLE]),
        "## Bulk forms",
        wrap(
            "A bulk form carries up to 256 requests in one message, as `items`, and answers with"
            " their outcomes in the same order. A Celery task costs about a millisecond whatever it"
            " carries. `enqueue_many` sends bulk forms by itself."
        ),
        write_table(
            ("bulk form", "items are requests of", "queue"),
            [(code(spec.name), code(_single_of(spec).name), code(spec.queue)) for spec in _BULK],
        ),
        *(_section("##", spec.name, spec.request, "validation") for spec in _SINGLE),
        "## Parts of requests",
        *(
            _section("###", model.__name__, model, "validation")
            for model in _models_in(requests)
            if model not in requests
        ),
    )


def write_results() -> str:
    """Every result and what it is made of, field by field."""
    return write_page(
        "Results",
        wrap(
            "Each task answers with the contract that the page [Tasks](tasks.md) names: a JSON object"
            " for callers in other languages, a frozen object with the same fields and some methods"
            " for callers in Python ([Python API](python.md)). Later versions may add fields and keep"
            " these."
        ),
        *(
            _section("##", model.__name__, model, "serialization")
            for model in _models_in([spec.result for spec in _SINGLE])
        ),
        "## Outcomes of a bulk form",
        wrap(
            '`{"items": [...]}`: for each request, in the order of the requests, either a `result` as above'
            " or an `error`. The other of the two is null."
        ),
        write_table(
            ("field", "type"),
            [("`result`", "the single task's result, or null"), ("`error`", "`ItemError` or null")],
        ),
    )


def write_summary() -> str:
    """One row a task for a caller without our client: its request's and its result's fields."""
    return write_table(
        ("task", "queue", "request", "result"),
        [
            (
                code(spec.name),
                code(spec.queue),
                ", ".join(row[0] for row in fields_of(spec.request, "validation")),
                ", ".join(row[0] for row in fields_of(spec.result, "serialization")),
            )
            for spec in TASKS
        ],
    )


def _single_of(bulk: TaskSpec[Any, Any]) -> TaskSpec[Any, Any]:
    (request, *_) = get_args(bulk.request.model_fields["items"].annotation)
    return next(spec for spec in _SINGLE if spec.request is request)


def _row(spec: TaskSpec[Any, Any]) -> tuple[str, ...]:
    anchor = spec.name.replace(".", "")
    result = spec.result.__name__
    return (
        code(_NAMES.get(id(spec), "")),
        f"[`{spec.name}`](#{anchor})",
        code(spec.queue),
        code(spec.request.__name__),
        f"[`{result}`](results.md#{result.lower()})",
    )


def _section(level: str, title: str, model: type[BaseModel], mode: Mode) -> str:
    doc = wrap(model.__doc__ or "")
    columns = 3 if mode == "validation" else 2  # a result has all of its fields
    table = write_table(_HEADER[:columns], [row[:columns] for row in fields_of(model, mode)])
    return "\n\n".join(part for part in (f"{level} {title}", doc, table) if part)


def _models_in(roots: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """The contracts and those that their fields name, each once, in the order of first mention."""
    found: dict[type[BaseModel], None] = {}
    for root in roots:
        for model in _walk(root):
            found.setdefault(model)
    return list(found)


def _walk(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _inside(field.annotation):
            yield from _walk(inner)


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _inside(each)
