"""Broker, worker and result store in one process, without a server or a thread.

Messages are built, parsed and answered as the real ones are, so that what a test sees is what travels.
"""

import heapq
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from pydantic import BaseModel

from paddlewheel.contracts.base import ImageRef, ItemError, Outcome, Request, TaskSpec
from paddlewheel.contracts.image_tasks import BULK_SPECS
from paddlewheel.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InternalError,
    PaddlewheelError,
    ResultTimeout,
    TaskCancelled,
    TaskNotFound,
)
from paddlewheel.wire.messages import PRIORITIES, TaskMessage
from paddlewheel.wire.result_store import TaskRecord

Handler: TypeAlias = Callable[[Any], BaseModel]
"""What answers a task: takes its request, returns its result or raises the error that the caller gets."""

Handlers: TypeAlias = Mapping[TaskSpec[Any, Any], Handler]


class InMemoryBroker:
    """Runs each message's handler as it arrives, or once `paused` is over.

    `load` reads a blob: a task fails, as on a worker, where its image is not stored.
    """

    def __init__(
        self,
        handlers: Handlers,
        *,
        load: Callable[[ImageRef], bytes],
        record_ttl: float,
        now: Callable[[], float],
    ) -> None:
        self._handlers = {spec.name: (spec, handler) for spec, handler in handlers.items()}
        for name, carrier in BULK_SPECS.items():
            if name in self._handlers and carrier.name not in self._handlers:
                self._handlers[carrier.name] = (carrier, self._each_by(*self._handlers[name]))
        self._load, self._record_ttl, self._now = load, record_ttl, now
        self._records: dict[str, tuple[bytes, float]] = {}
        self._queue: list[tuple[int, int, TaskMessage, float | None]] = []
        self._arrivals = itertools.count()
        self._paused = False

    def publish(self, message: TaskMessage) -> None:
        """Accept a task; a known id adds nothing. Raises ConfigurationError where nothing handles it."""
        if message.name not in self._handlers:
            raise ConfigurationError(f"No handler answers {message.name}: give one to this client.")
        if self._find(message.id) is not None:
            return
        self._keep(message, "PENDING", None)
        deadline = None if message.deadline is None else message.deadline - message.enqueued_at + self._now()
        place = (PRIORITIES[message.priority], next(self._arrivals))
        heapq.heappush(self._queue, (*place, message, deadline))
        self._work()

    def record(self, task_id: str) -> TaskRecord:
        """Where a task stands. Raises TaskNotFound."""
        raw = self._find(task_id)
        if raw is None:
            raise TaskNotFound(f"No task {task_id} is known: it was never enqueued, or has expired.")
        return TaskRecord.parse(raw)

    def outcome(self, task_id: str) -> TaskRecord:
        """The finished record. Raises ResultTimeout where waiting would be in vain: no time passes here."""
        raw = self._find(task_id)
        record = None if raw is None else TaskRecord.parse(raw)
        if record is None or not record.finished:
            why = "is not known" if record is None else "waits while this client is paused"
            raise ResultTimeout(f"No result of task {task_id} would come: it {why}.")
        return record

    def cancel(self, task_id: str) -> None:
        """Take a waiting task out of the queue. Raises TaskNotFound."""
        self.record(task_id)
        for entry in self._queue:
            if entry[2].id == task_id:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
                self._fail(entry[2], TaskCancelled())
                return

    @property
    def waiting(self) -> int:
        """How many tasks wait in the queue."""
        return len(self._queue)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Tasks wait in the queue within, and run by priority at its end."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False
            self._work()

    def _work(self) -> None:
        while self._queue and not self._paused:
            _, _, message, deadline = heapq.heappop(self._queue)
            try:
                if deadline is not None and deadline <= self._now():
                    raise DeadlineExceeded()
                self._keep(message, "STARTED", None)
                spec, handler = self._handlers[message.name]
                result = self._answer(spec, handler, spec.request.model_validate(message.request))
            except PaddlewheelError as err:
                self._fail(message, err)
            else:
                self._keep(message, "SUCCESS", result.model_dump(mode="json"))

    def _answer(self, spec: TaskSpec[Any, Any], handler: Handler, request: Request) -> BaseModel:
        """One request's result, or the typed error that a worker would give."""
        image = getattr(request, "image", None)
        if isinstance(image, ImageRef):
            self._load(image)
        try:
            result: BaseModel = handler(request)
        except PaddlewheelError:
            raise
        except Exception as err:  # a worker, too, answers whatever its code raises
            raise InternalError(f"The handler of {spec.name} raised {type(err).__name__}: {err}") from err
        if not isinstance(result, spec.result):
            wrong = type(result).__name__
            raise InternalError(f"The handler of {spec.name} returned {wrong}, not {spec.result.__name__}.")
        if isinstance(image, ImageRef) and getattr(result, "input_path", "") is None:
            result = result.model_copy(update={"input_path": image.input_path})
        return result

    def _each_by(self, spec: TaskSpec[Any, Any], handler: Handler) -> Handler:
        """The handler of a task that carries many items, from the handler of one."""
        carrier = BULK_SPECS[spec.name]

        def answer_each(request: Any) -> BaseModel:
            items: list[Outcome[Any]] = []
            for item in request.items:
                try:
                    items.append(Outcome(result=self._answer(spec, handler, item)))
                except PaddlewheelError as err:
                    items.append(Outcome(error=ItemError(code=err.code, message=err.message)))
            answers = [item.model_dump() for item in items]
            outcome: BaseModel = carrier.result.model_validate({"items": answers})
            return outcome

        return answer_each

    def _fail(self, message: TaskMessage, err: PaddlewheelError) -> None:
        self._keep(message, "FAILURE", {"exc_type": type(err).__name__, "exc_message": [err.message]})

    def _keep(self, message: TaskMessage, status: str, result: Any) -> None:
        """The record as the result store has it: JSON, under the task's id, with a time to live."""
        record = {"status": status, "result": result, "task_id": message.id, "name": message.name}
        record["enqueued_at"] = message.enqueued_at
        self._records[message.id] = (json.dumps(record).encode(), self._now() + self._record_ttl)

    def _find(self, task_id: str) -> bytes | None:
        raw, until = self._records.get(task_id, (None, 0.0))
        return raw if until > self._now() else None
