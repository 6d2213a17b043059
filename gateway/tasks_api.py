"""Tasks as jobs: submit, show, wait, cancel and list them."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, File, Form, Path, Query, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.contracts import over_http, store_images
from gateway.keys import Caller, require_scope
from gateway.plain_text import PlainText
from gateway.problems import PROBLEMS, Refusal
from gateway.request_ids import request_id
from gateway.services import TaskRunner, gateway
from gateway.settings import Scope
from gateway.task_events import STREAM, TaskEvents
from gateway.task_options import IdempotencyKey, Options, SubmitOptions
from gateway.task_views import UNFINISHED, State, TaskPage, TaskView, TaskViews, cursor_after, read_cursor
from paddlewheel.contracts.base import TaskSpec
from paddlewheel.contracts.image_tasks import BULK_SPECS
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import InvalidRequest

MANY: Final = 256
"""Most tasks in one request."""

Service = Annotated[TaskRunner, Depends(gateway)]
TaskId = Annotated[PlainText, Path(max_length=64)]

_READS: Final = frozenset({"faces.identify", "gallery.describe", "gallery.search", "images.search"})
_BULK: Final = frozenset(spec.name for spec in BULK_SPECS.values())


def scope_of(spec: TaskSpec[Any, Any]) -> Scope:
    """The scope that a key needs to submit this task."""
    if spec.name in _READS:
        return "galleries:read"
    return "galleries:write" if spec.name.startswith("gallery.") else "tasks"


def tasks_router() -> APIRouter:
    """All of /v1/tasks."""
    router = APIRouter(prefix="/v1/tasks", tags=["Tasks"], responses=PROBLEMS)
    for spec in TASKS:
        if spec.name not in _BULK:  # .../many submits several tasks in one request
            _add_submission(router, spec)
    _add_reading(router)
    return router


def _add_submission(router: APIRouter, spec: TaskSpec[Any, Any]) -> None:
    request_model: type[BaseModel] = spec.request
    contract: Any = over_http(request_model)
    Key = Annotated[Caller, Depends(require_scope(scope_of(spec)))]  # noqa: N806 - a type
    Many = Annotated[list[contract], Body(min_length=1, max_length=MANY)]  # noqa: N806
    words: dict[str, Any] = {
        "description": spec.request.__doc__,
        "response_model_exclude_none": True,
        "status_code": 202,
    }
    all_ended = _answers(TaskViews, "All have ended.")

    @router.post(
        f"/{spec.name}",
        summary=f"Submit {spec.name}",
        responses=_answers(TaskView, "It has ended."),
        **words,
    )
    async def submit(
        body: contract,
        response: Response,
        service: Service,
        caller: Key,
        options: Options,
        idempotency_key: IdempotencyKey = None,
    ) -> TaskView:
        await service.admission.admit(spec.queue)
        view = await _submit(service, spec, body, caller, options, idempotency_key)
        if options.wait and view.state == "queued":
            view = TaskView.of(*await service.jobs.wait(caller.key_id, view.id, options.wait))
        response.status_code = _status([view])
        response.headers["Location"] = view.url
        return view

    @router.post(f"/{spec.name}/many", summary=f"Submit {spec.name} many times", responses=all_ended, **words)
    async def submit_many(
        items: Many,
        response: Response,
        service: Service,
        caller: Key,
        options: Options,
        idempotency_key: IdempotencyKey = None,
    ) -> TaskViews:
        await service.admission.admit(spec.queue)
        views = await _submit_all(service, spec, items, caller, options, idempotency_key)
        response.status_code = _status(views)
        return TaskViews(tasks=views)

    if "image" not in spec.request.model_fields:
        return

    @router.post(
        f"/{spec.name}/upload",
        summary=f"Submit {spec.name} for uploaded files",
        responses=all_ended,
        **words,
    )
    async def upload(
        image: Annotated[list[UploadFile], File(description="Image files or PDFs; each is a task.")],
        response: Response,
        service: Service,
        caller: Key,
        options: Options,
        request: Annotated[str, Form(description="The other fields, as JSON.", max_length=65_536)] = "{}",
        idempotency_key: IdempotencyKey = None,
    ) -> TaskViews:
        await service.admission.admit(spec.queue)
        if len(image) > MANY:
            raise InvalidRequest(f"Send at most {MANY} files at a time.")
        fields = _fields(request)
        items = []
        for file in image:
            ref = await service.uploads.put(await file.read(), file.filename or None)
            items.append(_validated(contract, {**fields, "image": ref.model_dump(exclude={"expires_at"})}))
        views = await _submit_all(service, spec, items, caller, options, idempotency_key)
        response.status_code = _status(views)
        return TaskViews(tasks=views)


def _answers(model: type[BaseModel], when: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": when}}


def _status(views: Sequence[TaskView]) -> int:
    """202 while a task is unfinished, else 200."""
    return 202 if any(view.state in UNFINISHED for view in views) else 200


async def _submit_all(
    service: TaskRunner,
    spec: TaskSpec[Any, Any],
    items: Sequence[BaseModel],
    caller: Caller,
    options: SubmitOptions,
    idempotency_key: str | None,
) -> list[TaskView]:
    views = []
    for number, item in enumerate(items):
        key = f"{idempotency_key}/{number}" if idempotency_key else None
        views.append(await _submit(service, spec, item, caller, options, key))
    if options.wait:
        until = time.monotonic() + options.wait
        for number, view in enumerate(views):
            left = max(0.0, until - time.monotonic())
            views[number] = TaskView.of(*await service.jobs.wait(caller.key_id, view.id, left))
    return views


async def _submit(
    service: TaskRunner,
    spec: TaskSpec[Any, Any],
    body: BaseModel,
    caller: Caller,
    options: SubmitOptions,
    idempotency_key: str | None,
) -> TaskView:
    if options.webhook is not None:
        service.check_webhook(options.webhook)
    plain = await store_images(body, service.uploads.store)
    checked = spec.request.model_validate(plain)
    job = await service.jobs.submit(
        spec,
        checked.model_dump(mode="json", exclude_defaults=True),
        key_id=caller.key_id,
        request_id=request_id(),
        priority=options.priority,
        deadline=options.deadline,
        idempotency_key=idempotency_key,
        webhook=options.webhook,
    )
    return TaskView.of(job, job.state)


def _add_reading(router: APIRouter) -> None:
    Key = Annotated[Caller, Depends(require_scope("tasks"))]  # noqa: N806 - a type

    @router.get("", response_model_exclude_none=True)
    async def list_tasks(
        service: Service,
        caller: Key,
        state: State | None = None,
        name: Annotated[PlainText | None, Query(max_length=80)] = None,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> TaskPage:
        """List your own tasks, newest first, without results. A running task is listed as queued."""
        wanted = "queued" if state == "running" else state
        jobs = await service.list_jobs(
            caller.key_id, state=wanted, name=name, before=read_cursor(cursor), limit=limit
        )
        views = [TaskView.of(job, job.state).model_copy(update={"result": None}) for job in jobs]
        return TaskPage(tasks=views, next=cursor_after(jobs[-1]) if len(jobs) == limit else None)

    @router.get("/{task_id}", response_model_exclude_none=True)
    async def show_task(
        task_id: TaskId,
        service: Service,
        caller: Key,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for its end.")] = 0,
    ) -> TaskView:
        """Show a task's state and result. With `wait`, answer once it has ended (a long poll)."""
        return TaskView.of(*await service.jobs.wait(caller.key_id, task_id, wait))

    @router.get("/{task_id}/result")
    async def task_result(
        task_id: TaskId,
        service: Service,
        caller: Key,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for its end.")] = 0,
    ) -> Any:
        """Return the result alone; 409 while there is none, or the task's error if it failed."""
        job, state = await service.jobs.wait(caller.key_id, task_id, wait)
        if state in UNFINISHED:
            raise Refusal(409, "not_finished", f"The task is {state}: try again later, or set 'wait'.")
        service.raise_for(job)
        return job.result

    @router.get("/{task_id}/events", response_class=Response, responses={200: STREAM})
    async def task_events(task_id: TaskId, service: Service, caller: Key) -> Response:
        """Stream server-sent events: `state` with the task whenever it changes, until it has ended."""
        await service.jobs.find(caller.key_id, task_id)
        return TaskEvents(service.jobs, caller.key_id, task_id)

    @router.post("/{task_id}/cancel", status_code=202, response_model_exclude_none=True)
    async def cancel_task(task_id: TaskId, service: Service, caller: Key) -> TaskView:
        """Cancel a task. A task that has ended does not change."""
        await service.jobs.cancel(caller.key_id, task_id)
        return TaskView.of(*await service.jobs.find(caller.key_id, task_id))


def _fields(text: str) -> dict[str, Any]:
    try:
        return _FIELDS.validate_json(text)
    except ValidationError as err:
        raise InvalidRequest("The form's field 'request' is not a JSON object.") from err


def _validated(contract: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    try:
        return contract.model_validate(given)
    except ValidationError as err:
        faults: Sequence[Any] = err.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in faults]) from err


_FIELDS: Final = TypeAdapter(dict[str, Any])
