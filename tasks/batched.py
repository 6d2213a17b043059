"""Tasks of one image that pause where they wait for a batch: written for one, run for many.

The body of such a task is a generator (`tasks.steps`). The same body answers one request, the many requests
of a bulk message, and the images of a batch job.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from paddlewheel.contracts.base import Outcome, Request, TaskSpec
from paddlewheel.contracts.image_tasks import BULK_SPECS
from tasks import MODULES
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources
from tasks.steps import AT_ONCE, Steps, collect_outcomes, run, run_each

RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)
Body: TypeAlias = Callable[[RequestT, TaskContext], Steps[ResultT]]


@dataclass(frozen=True, kw_only=True)
class BatchedTask(Generic[RequestT, ResultT]):
    """A task's body, and how many requests of it may be under way in one thread."""

    spec: TaskSpec[RequestT, ResultT]
    body: Body[RequestT, ResultT]
    at_once: int

    def run(self, request: RequestT, context: TaskContext) -> ResultT:
        """Answer one request."""
        return run(self.body(request, context))

    def run_each(self, requests: Iterable[RequestT], context: TaskContext) -> tuple[Outcome[ResultT], ...]:
        """Answer many, whose items meet in the batcher; one that fails does not fail the others."""
        works = (self.body(request, context) for request in requests)
        return collect_outcomes(run_each(works, at_once=self.at_once))


_REGISTERED: dict[str, BatchedTask[Any, Any]] = {}


def load_batched_tasks() -> Mapping[str, BatchedTask[Any, Any]]:
    """Every batched task by name."""
    for module in MODULES:
        import_module(module)
    return _REGISTERED


def batched_task(
    spec: TaskSpec[RequestT, ResultT], *, at_once: int = AT_ONCE
) -> Callable[[Body[RequestT, ResultT]], Body[RequestT, ResultT]]:
    """Register a body under its contract, and under that of its bulk form where `BULK_SPECS` has one."""

    def register(body: Body[RequestT, ResultT]) -> Body[RequestT, ResultT]:
        batched = BatchedTask(spec=spec, body=body, at_once=at_once)
        _REGISTERED[spec.name] = batched
        task(spec)(batched.run)
        if spec.name in BULK_SPECS:
            _register_bulk(batched, BULK_SPECS[spec.name])
        return body

    return register


def _register_bulk(batched: BatchedTask[Any, Any], bulk: TaskSpec[Any, Any]) -> None:
    @task(bulk)
    def run_bulk(request: Any, context: TaskContext) -> BaseModel:
        requests = resources().images.prefetch(request.items)
        answer: BaseModel = bulk.result(items=batched.run_each(requests, context))
        return answer
