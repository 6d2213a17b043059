"""From a contract to a Celery task: checked request in, checked result out, typed errors only."""

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from celery import shared_task
from celery.exceptions import Reject
from pydantic import BaseModel, ValidationError

from paddlewheel.contracts.base import Request, TaskSpec
from paddlewheel.contracts.checking import explain
from paddlewheel.errors import (
    BlobStoreUnavailable,
    CallerError,
    DatabaseUnavailable,
    InternalError,
    InvalidRequest,
    PaddlewheelError,
)
from paddlewheel.wire.messages import DEADLINE_HEADER, ENQUEUED_AT_HEADER, PRIORITIES, REQUEST_ID_HEADER
from tasks.context import TaskContext
from tasks.delivery import FATAL, Delivery, fatal_items
from tasks.resources import resources

RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)

RETRIES: Final = 5
RETRY_SECONDS: Final = 0.5
"""A lost connection is tried again after about 0.5, 1, 2, 4 and 8 seconds; bad input never."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

log = logging.getLogger(__name__)


def task(
    spec: TaskSpec[RequestT, ResultT],
) -> Callable[[Callable[[RequestT, TaskContext], ResultT]], Callable[[RequestT, TaskContext], ResultT]]:
    """Register a task body under its contract; the body itself stays an ordinary function."""

    def register(
        body: Callable[[RequestT, TaskContext], ResultT],
    ) -> Callable[[RequestT, TaskContext], ResultT]:
        @shared_task(
            bind=True,
            name=spec.name,
            # Expected failures are the caller's: one line in the log, no traceback.
            throws=(CallerError,),
            max_retries=RETRIES,
        )
        def run(self: Any, request: object) -> dict[str, Any]:
            cancellations = resources().cancellations
            cancellations.register(self.request.id)
            try:
                context = _read_context(self.request, cancellations.is_cancelled)
                context.check()
                parsed = _parse(spec, request)
                return _run_body(body, parsed, context, _to_delivery(spec, self.request, parsed))
            except (BlobStoreUnavailable, DatabaseUnavailable) as err:
                raise _retry_later(self, err) from err
            except PaddlewheelError as err:
                log.info(
                    "%s[%s] error[%s]: %s", spec.name, _name_delivery(self.request), err.code, err.message
                )
                raise
            except Exception as err:
                log.exception("task %s[%s] failed unexpectedly", spec.name, _name_delivery(self.request))
                raise InternalError(
                    f"An unexpected error; the worker's log has it under task {self.request.id}."
                ) from err
            finally:
                cancellations.unregister(self.request.id)

        return body

    return register


def _retry_later(task: Any, err: PaddlewheelError) -> Exception:
    """The exception that makes Celery try the task later; the error itself once the tries are used up."""
    pause = RETRY_SECONDS * 2**task.request.retries * random.uniform(0.5, 1.0)  # noqa: S311
    try:
        later: Exception = task.retry(exc=err, countdown=pause, throw=False)
    except Reject as unsent:
        # The broker is away too. Celery would drop the message unanswered: it has to come again.
        return Reject(unsent, requeue=True)
    return later


def _run_body(
    body: Callable[[RequestT, TaskContext], ResultT],
    request: RequestT,
    context: TaskContext,
    delivery: Delivery,
) -> dict[str, Any]:
    deliveries = resources().deliveries
    with deliveries.track(delivery):
        context.check()  # it may have waited for its turn
        began = time.perf_counter()
        try:
            answer = body(request, context)
        except FATAL as err:
            deliveries.record_dead_letter(delivery, err)
            raise
        fatal = fatal_items(delivery, request, answer)
        if fatal is not None:
            deliveries.record_dead_letter(*fatal)
        # An answer that was cancelled while it was made is discarded, as promised.
        if context.is_cancelled(context.task_id):
            context.check()
        taken = (time.perf_counter() - began) * 1000
        waited = context.queue_ms or 0.0
        named = _name_with_request(context.task_id, context.request_id)
        log.info("%s[%s] %.0f ms, %.0f ms in the queue", delivery.name, named, taken, waited)
        return answer.model_dump(mode="json")


def _to_delivery(spec: TaskSpec[RequestT, Any], request: Any, parsed: RequestT) -> Delivery:
    headers, info = request.headers or {}, request.delivery_info or {}
    return Delivery(
        task_id=request.id,
        name=spec.name,
        queue=info.get("routing_key") or spec.queue,
        request=parsed.model_dump(mode="json", exclude_defaults=True),
        headers={
            "priority": info.get("priority") or 0,
            "origin": request.origin,
            DEADLINE_HEADER: headers.get(DEADLINE_HEADER),
            ENQUEUED_AT_HEADER: headers.get(ENQUEUED_AT_HEADER),
        },
    )


def _parse(spec: TaskSpec[RequestT, Any], request: object) -> RequestT:
    try:
        return spec.request.model_validate(request)
    except ValidationError as err:
        raise InvalidRequest(explain(err)) from err


def _read_context(request: Any, is_cancelled: Callable[[str], bool]) -> TaskContext:
    """Read the delivery. A bare producer may omit all of our headers."""
    headers = request.headers or {}
    enqueued_at = _number(headers.get(ENQUEUED_AT_HEADER))
    priority = (request.delivery_info or {}).get("priority") or 0
    return TaskContext(
        task_id=request.id,
        request_id=_request_id(headers),
        priority="bulk" if priority >= PRIORITIES["bulk"] else "interactive",
        deadline=_number(headers.get(DEADLINE_HEADER)),
        queue_ms=None if enqueued_at is None else max(0.0, (time.time() - enqueued_at) * 1000),
        is_cancelled=is_cancelled,
    )


def _name_delivery(request: Any) -> str:
    """A delivery in the log: the task, and the request that it came of."""
    return _name_with_request(request.id, _request_id(request.headers or {}))


def _name_with_request(task_id: str, request_id: str) -> str:
    return f"{task_id} of request {request_id}" if request_id else task_id


def _request_id(headers: Mapping[str, Any]) -> str:
    """The producer's request id, unless it could forge lines of the log."""
    given = headers.get(REQUEST_ID_HEADER)
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise InvalidRequest("The headers 'deadline' and 'enqueued_at' are seconds since the epoch, as numbers.")
