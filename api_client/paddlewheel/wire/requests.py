"""From a task's spec and a caller's words to a checked message."""

import time
import uuid
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from paddlewheel.contracts.base import ImageRef, Priority, Request, TaskSpec
from paddlewheel.contracts.checking import check_fields
from paddlewheel.errors import InvalidRequest
from paddlewheel.wire.messages import PRIORITIES, TaskMessage

RequestT = TypeVar("RequestT", bound=Request)
ModelT = TypeVar("ModelT", bound=BaseModel)

LONGEST_DEADLINE: Final = 366 * 86400.0
"""Seconds; no record of a task is kept for nearly as long."""

_WRONG_DEADLINE: Final = (
    f"A deadline is between 0 and {LONGEST_DEADLINE:.0f} seconds from now: leave it out to have none."
)
_NAMESPACE: Final = uuid.UUID("b7a6c1e2-3f0d-5a63-9a55-0d6e3f6f2c11")


def build_request(
    spec: TaskSpec[RequestT, Any], image: "ImageRef | Request", options: dict[str, Any]
) -> RequestT:
    """The checked request: either given whole, or made of an image and options."""
    if isinstance(image, spec.request):
        if options:
            raise InvalidRequest("Give either a whole request or an image with options, not both.")
        return image
    if isinstance(image, Request):
        raise InvalidRequest(f"{spec.name} takes a {spec.request.__name__}, not a {type(image).__name__}.")
    return check_fields(spec.request, {"image": image, **options})


def make_id(spec: TaskSpec[Any, Any], idempotency_key: str | None) -> str:
    """A new id, or the one that belongs to the key."""
    if idempotency_key is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.uuid5(_NAMESPACE, f"{spec.name}\n{idempotency_key}"))
    except UnicodeEncodeError as err:
        raise InvalidRequest("The idempotency key has to be text that can be written as UTF-8.") from err


def make_message(
    spec: TaskSpec[Any, Any],
    task_id: str,
    request: Request,
    priority: Priority,
    deadline: float | timedelta | None,
) -> TaskMessage:
    """The message that carries one request. Raises InvalidRequest for another priority or deadline."""
    _require_priority(priority)
    seconds = None if deadline is None else _seconds_of(deadline)
    now = time.time()
    return TaskMessage(
        id=task_id,
        name=spec.name,
        queue=spec.queue,
        request=request.model_dump(mode="json", exclude_defaults=True),
        priority=priority,
        enqueued_at=now,
        deadline=None if seconds is None else now + seconds,
    )


def _require_priority(priority: object) -> None:
    if not isinstance(priority, str) or priority not in PRIORITIES:
        known = " or ".join(repr(each) for each in PRIORITIES)
        raise InvalidRequest(f"The priority is {known}, not {str(priority)[:40]!r}.")


def _seconds_of(deadline: Any) -> float:
    if isinstance(deadline, timedelta):
        deadline = deadline.total_seconds()
    if isinstance(deadline, bool) or not hasattr(deadline, "__float__"):
        raise InvalidRequest(f"A deadline is seconds from now or a timedelta, not {type(deadline).__name__}.")
    try:
        seconds = float(deadline)
    except (ArithmeticError, TypeError, ValueError) as err:
        raise InvalidRequest(_WRONG_DEADLINE) from err
    if not 0 <= seconds <= LONGEST_DEADLINE:  # which NaN is not, either
        raise InvalidRequest(_WRONG_DEADLINE)
    return seconds
