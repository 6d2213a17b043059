"""How a job looks over HTTP."""

import base64
import binascii
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from job_store.jobs import Job
from paddlewheel.errors import InvalidRequest

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
UNFINISHED: Final = frozenset({"queued", "running"})


class TaskError(BaseModel):
    """Why a task has no result. `code` is stable and meant for programs."""

    code: str
    message: str


class TaskView(BaseModel):
    """A task that was submitted. `result` is there when it succeeded, `error` when it did not."""

    id: str
    name: str
    state: State
    created_at: datetime
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    result: Any = None
    error: TaskError | None = None
    url: str = Field(description="Where this task is.")

    @classmethod
    def of(cls, job: Job, state: str) -> "TaskView":
        """What its owner may see."""
        error = None
        if job.error_code is not None:
            error = TaskError(code=job.error_code, message=job.error_message or "")
        return cls(
            id=job.id,
            name=job.name,
            state=state,
            created_at=job.created_at,
            finished_at=job.finished_at,
            deadline_at=job.deadline_at,
            result=job.result,
            error=error,
            url=f"/v1/tasks/{job.id}",
        )


class TaskViews(BaseModel):
    """Several tasks."""

    tasks: list[TaskView]


class TaskPage(TaskViews):
    """A page of tasks, the newest first; `next` is the cursor of the page after it."""

    next: str | None = None


def cursor_after(job: Job) -> str:
    """Where the page that ends with this job ends."""
    return base64.urlsafe_b64encode(f"{job.created_at.isoformat()} {job.id}".encode()).decode()


def read_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The other way round. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        at, _, job_id = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition(" ")
        moment = datetime.fromisoformat(at)
    except (binascii.Error, ValueError) as err:
        raise InvalidRequest("The cursor is not one that a page gave: leave it out to begin anew.") from err
    if moment.tzinfo is None or not job_id.isprintable():
        raise InvalidRequest("The cursor is not one that a page gave: leave it out to begin anew.")
    return moment, job_id
