"""Jobs in Postgres: tasks that were submitted over HTTP, from their acceptance to their outcome.

A job's row is written before its task is enqueued and outlives what the broker keeps, so a job can be
enqueued again under the same id, and is never answered twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from database.clock import ago
from database.pool import Database
from job_store.http_schema import JOBS, WEBHOOK_DELIVERIES
from paddlewheel.errors import IdempotencyMismatch, TaskNotFound

JobState = Literal["queued", "succeeded", "failed", "cancelled"]

_J: Final = JOBS.c


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to accept. `digest` distinguishes requests; `key_id` is its owner's, empty for nobody's."""

    id: str
    key_id: str
    name: str
    request: Mapping[str, Any]
    digest: str
    priority: str
    request_id: str
    deadline_at: datetime | None = None
    webhook: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """An accepted job. `result` is there when it succeeded, the error when it failed or was cancelled."""

    id: str
    key_id: str
    name: str
    request: Mapping[str, Any]
    priority: str
    request_id: str
    deadline_at: datetime | None
    webhook: str | None
    state: JobState
    result: Any
    error_code: str | None
    error_message: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """How a job ended."""

    id: str
    state: Literal["succeeded", "failed", "cancelled"]
    result: Any = None
    error_code: str | None = None
    error_message: str | None = None


class JobStore:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, job: NewJob) -> tuple[Job, bool]:
        """Store a job, or return the one of the same id as it is; the flag says whether it is new.

        Raises IdempotencyMismatch if the id stands for another request.
        """
        values = {name: getattr(job, name) for name in NewJob.__dataclass_fields__}
        adding = upsert(JOBS).values(values).on_conflict_do_nothing().returning(JOBS)
        with self._database.begin() as connection:
            row = connection.execute(adding).first()
            if row is not None:
                return _job(row), True
            known = connection.execute(select(JOBS).where(_J.id == job.id)).one()
        if known.digest != job.digest:
            raise IdempotencyMismatch("The idempotency key was used for another request: take a new one.")
        return _job(known), False

    def mark_enqueued(self, job_ids: Sequence[str]) -> None:
        """Record that these are with the broker now."""
        change = update(JOBS).where(_J.id.in_(job_ids))
        with self._database.begin() as connection:
            connection.execute(change.values(enqueued_at=func.now(), enqueues=_J.enqueues + 1))

    def find(self, key_id: str, job_id: str) -> Job:
        """A caller's own job. Raises TaskNotFound, for another caller's as for none."""
        query = select(JOBS).where(_J.id == job_id, _J.key_id == key_id)
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise TaskNotFound(f"No task {job_id} is known: it was never submitted, or has expired.")
        return _job(row)

    def page(
        self,
        key_id: str,
        *,
        state: str | None = None,
        name: str | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """A caller's jobs from the newest on; `before` is where the last page ended."""
        query = select(JOBS).where(_J.key_id == key_id).order_by(_J.created_at.desc(), _J.id.desc())
        for column, value in ((_J.state, state), (_J.name, name)):
            query = query.where(column == value) if value is not None else query
        if before is not None:
            query = query.where(tuple_(_J.created_at, _J.id) < tuple_(*before))
        with self._database.begin() as connection:
            return [_job(row) for row in connection.execute(query.limit(limit))]

    def settle(self, outcomes: Sequence[JobOutcome]) -> None:
        """Store outcomes, the first of each job, and announce those that have a webhook."""
        with self._database.begin() as connection:
            for outcome in outcomes:
                change = (
                    update(JOBS)
                    .where(_J.id == outcome.id, _J.state == "queued")
                    .values(
                        state=outcome.state,
                        result=outcome.result,
                        error_code=outcome.error_code,
                        error_message=outcome.error_message,
                        finished_at=func.now(),
                    )
                    .returning(_J.webhook)
                )
                url = connection.execute(change).scalar()
                if url:
                    connection.execute(insert(WEBHOOK_DELIVERIES).values(job_id=outcome.id, url=url))

    def list_unsettled(self, *, after: str = "", limit: int = 500) -> list[Job]:
        """Jobs without an outcome, by id."""
        query = select(JOBS).where(_J.state == "queued", _J.id > after).order_by(_J.id).limit(limit)
        with self._database.begin() as connection:
            return [_job(row) for row in connection.execute(query)]

    def find_lost(self, job_ids: Sequence[str], *, seconds: float) -> list[Job]:
        """Of jobs that the broker does not know, those that it had for longer than this, or never got."""
        since = func.coalesce(_J.enqueued_at, _J.created_at)
        query = select(JOBS).where(_J.id.in_(job_ids), _J.state == "queued", since < ago(seconds))
        with self._database.begin() as connection:
            return [_job(row) for row in connection.execute(query)]

    def purge(self, *, seconds: float, limit: int = 1000) -> int:
        """Delete jobs that ended longer ago than this; how many."""
        old = select(_J.id).where(_J.finished_at < ago(seconds)).limit(limit)
        with self._database.begin() as connection:
            return connection.execute(delete(JOBS).where(_J.id.in_(old))).rowcount


def _job(row: Row[Any]) -> Job:
    fields = row._mapping
    return Job(**{name: fields[name] for name in Job.__dataclass_fields__})
