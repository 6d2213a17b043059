"""One delivery of a task, as far as it matters when the task has to be given up."""

from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel

from paddlewheel.errors import ModelCrashed, ModelTimeout, PaddlewheelError, error_from

FATAL: Final = (ModelCrashed, ModelTimeout)
"""What costs the service a model process each time: kept for an operator to look at."""

_FATAL_CODES: Final = frozenset(error.code for error in FATAL)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """`request` and `headers` are JSON: what is needed to enqueue the same again."""

    task_id: str
    name: str
    queue: str
    request: dict[str, Any]
    headers: dict[str, Any]


def fatal_items(
    delivery: Delivery, request: BaseModel, answer: BaseModel
) -> tuple[Delivery, PaddlewheelError] | None:
    """Of a message of many items, those that killed a model, as a delivery of their own, and the first error.

    The others have been answered; enqueueing the message again would answer them again.
    """
    items, outcomes = getattr(request, "items", ()), getattr(answer, "items", ())
    if len(items) != len(outcomes):
        return None
    errors = [getattr(outcome, "error", None) for outcome in outcomes]
    fatal = [
        (item, error)
        for item, error in zip(items, errors, strict=True)
        if error is not None and error.code in _FATAL_CODES
    ]
    if not fatal:
        return None
    smaller = request.model_copy(update={"items": tuple(item for item, _ in fatal)})
    first = fatal[0][1]
    rest = replace(delivery, request=smaller.model_dump(mode="json", exclude_defaults=True))
    return rest, error_from(first.code, first.message)
