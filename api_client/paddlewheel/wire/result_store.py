"""What the result store says of a task: Celery's result record, read without Celery.

The client writes the first record when it enqueues, so that an unknown id is not found instead of
pending indefinitely; the worker overwrites it with 'started' and with the outcome.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from paddlewheel.contracts.base import ItemError
from paddlewheel.errors import ERRORS, InternalError, PaddlewheelError, TaskCancelled, error_from

RESULT_KEY: Final = "celery-task-meta-{}"
"""Celery's key of a task's record, which is also the channel that announces it."""

CANCELLED_KEY: Final = "paddlewheel:cancelled:{}"
CANCEL_CHANNEL: Final = "paddlewheel:cancel"

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
_STATES: Final[dict[str, State]] = {
    "PENDING": "queued",
    "RETRY": "queued",
    "RECEIVED": "queued",
    "STARTED": "running",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "cancelled",
}
_CODES: Final = {cls.__name__: code for code, cls in ERRORS.items()}


@dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """Where a task stands. `enqueued_at` is known until the worker starts it."""

    task_id: str
    state: State
    name: str | None = None
    enqueued_at: datetime | None = None
    error: ItemError | None = None


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """One result record."""

    task_id: str
    state: State
    name: str | None
    enqueued_at: float | None
    payload: Any

    @classmethod
    def parse(cls, raw: bytes | str) -> "TaskRecord":
        """Read Celery's JSON; an unknown state counts as running."""
        meta = json.loads(raw)
        state = _STATES.get(meta.get("status", ""), "running")
        if state == "failed" and meta["result"].get("exc_type") == TaskCancelled.__name__:
            state = "cancelled"
        return cls(
            task_id=meta["task_id"],
            state=state,
            name=meta.get("name"),
            enqueued_at=meta.get("enqueued_at"),
            payload=meta.get("result"),
        )

    @property
    def finished(self) -> bool:
        """Whether the outcome is here."""
        return self.state in ("succeeded", "failed", "cancelled")

    def error(self) -> PaddlewheelError | None:
        """The typed error of a task that did not succeed."""
        if self.state not in ("failed", "cancelled"):
            return None
        payload = self.payload if isinstance(self.payload, dict) else {}
        name, words = payload.get("exc_type", ""), payload.get("exc_message") or ()
        message = str(words[0]) if isinstance(words, list) and words else str(words or "")
        if name == "TaskRevokedError":
            return TaskCancelled(f"The task {self.task_id} was revoked.")
        if name not in _CODES:
            return InternalError(f"The worker raised {name or 'an unknown error'}: {message}")
        return error_from(_CODES[name], message)

    def status(self) -> TaskStatus:
        """The same for people."""
        err = self.error()
        return TaskStatus(
            task_id=self.task_id,
            state=self.state,
            name=self.name,
            enqueued_at=datetime.fromtimestamp(self.enqueued_at, UTC) if self.enqueued_at else None,
            error=ItemError(code=err.code, message=err.message) if err else None,
        )


def unreadable_record(task_id: str, err: Exception) -> TaskRecord:
    """The record that a waiter gets when something else than a result is kept under the task's key."""
    message = f"The stored value of the task {task_id} is not a result: {type(err).__name__}: {err}"
    payload = {"exc_type": InternalError.__name__, "exc_message": [message]}
    return TaskRecord(task_id=task_id, state="failed", name=None, enqueued_at=None, payload=payload)


def failed_record(task_id: str, name: str, err: PaddlewheelError) -> TaskRecord:
    """The record of a task that failed before it could be enqueued."""
    payload = {"exc_type": type(err).__name__, "exc_message": [err.message]}
    return TaskRecord(task_id=task_id, state="failed", name=name, enqueued_at=None, payload=payload)


def queued_record(task_id: str, name: str, enqueued_at: float) -> bytes:
    """The record of a task that has been accepted and not yet started."""
    return json.dumps(
        {
            "status": "PENDING",
            "result": None,
            "traceback": None,
            "children": [],
            "date_done": None,
            "task_id": task_id,
            "name": name,
            "enqueued_at": enqueued_at,
        }
    ).encode()
