"""The HTTP representation of a job."""

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
    """Why a task has no result. `code` is stable and for programs."""

    code: str
    message: str


class TaskView(BaseModel):
    """A submitted task. `result` is set if it succeeded, `error` if it failed."""

    id: str
    name: str
    state: State
    created_at: datetime
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    result: Any = None
    error: TaskError | None = None
    url: str = Field(description="The path of this task.")

    @classmethod
    def of(cls, job: Job, state: str) -> "TaskView":
        """Convert a job and its current state for its owner."""
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
    """A page of tasks, newest first; pass `next` as `cursor` to get the next page."""

    next: str | None = None


def cursor_after(job: Job) -> str:
    """Encode the cursor of the page after this job."""
    return base64.urlsafe_b64encode(f"{job.created_at.isoformat()} {job.id}".encode()).decode()


def read_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """Decode a cursor. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        at, _, job_id = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition(" ")
        moment = datetime.fromisoformat(at)
    except (binascii.Error, ValueError) as err:
        raise InvalidRequest("The cursor is not valid: leave it out to start with the first page.") from err
    if moment.tzinfo is None or not job_id.isprintable():
        raise InvalidRequest("The cursor is not valid: leave it out to start with the first page.")
    return moment, job_id
