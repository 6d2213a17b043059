"""Announcements of the ends of jobs and batch jobs: due, claimed by one sender, delivered or given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import func, or_, select, update

from database.clock import from_now
from database.pool import Database
from job_store.batch_schema import BATCH_JOBS
from job_store.http_schema import JOBS, WEBHOOK_DELIVERIES

PAUSES: Final = (5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600)
"""Seconds between two attempts; after the last one the delivery is given up."""

CLAIM_SECONDS: Final = 120
"""How long a sender has for an attempt before another one may try."""

_D: Final = WEBHOOK_DELIVERIES.c

_OF_TASKS: Final = select(
    _D.number,
    _D.url,
    _D.job_id,
    *(JOBS.c[name] for name in ("key_id", "name", "state", "error_code", "finished_at")),
).join(JOBS, JOBS.c.id == _D.job_id)

_OF_BATCH_JOBS: Final = select(_D.number, _D.url, _D.batch_job_id, _D.event, BATCH_JOBS.c.key_id).join(
    BATCH_JOBS, BATCH_JOBS.c.id == _D.batch_job_id
)


@dataclass(frozen=True, kw_only=True)
class DueDelivery:
    """An announcement to make now; `lines` counts those of a batch job and is empty for a task."""

    number: int
    url: str
    kind: Literal["task", "batch_job"]
    job_id: str
    key_id: str
    name: str
    state: str
    error_code: str | None
    finished_at: datetime
    lines: Mapping[str, int | None]


@dataclass(frozen=True, kw_only=True)
class DeliveryRecord:
    """How an announcement went."""

    url: str
    state: str
    attempts: int
    next_at: datetime
    last_status: int | None
    last_error: str | None
    ended_at: datetime | None


class Webhooks:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, limit: int = 16) -> Sequence[DueDelivery]:
        """Claim announcements that are due, for this sender alone."""
        due = (
            select(_D.number)
            .where(_D.state == "waiting", _D.next_at <= func.now())
            .order_by(_D.next_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = (
            update(WEBHOOK_DELIVERIES)
            .where(_D.number.in_(due))
            .values(next_at=from_now(CLAIM_SECONDS), attempts=_D.attempts + 1)
            .returning(_D.number)
        )
        with self._database.begin() as connection:
            numbers = list(connection.execute(claimed).scalars())
            of_tasks = _OF_TASKS.where(_D.number.in_(numbers))
            of_batches = _OF_BATCH_JOBS.where(_D.number.in_(numbers))
            tasks = [
                DueDelivery(**row._mapping, kind="task", lines={}) for row in connection.execute(of_tasks)
            ]
            return tasks + [_batch_job(row) for row in connection.execute(of_batches)]

    def mark_delivered(self, number: int, status: int) -> None:
        """Record that the receiver accepted it."""
        self._update(number, state="delivered", last_status=status, last_error=None, ended_at=func.now())

    def mark_failed(self, number: int, status: int | None, error: str) -> None:
        """Record a failed attempt: it is due again later, or given up."""
        with self._database.begin() as connection:
            attempts = connection.execute(select(_D.attempts).where(_D.number == number)).scalar_one()
        values: dict[str, Any] = {"last_status": status, "last_error": error[:500]}
        if attempts > len(PAUSES):
            values |= {"state": "given_up", "ended_at": func.now()}
        else:
            values["next_at"] = from_now(PAUSES[attempts - 1])
        self._update(number, **values)

    def of_job(self, job_id: str) -> list[DeliveryRecord]:
        """How the announcements of a job or batch job went, the first one first."""
        columns = [_D[name] for name in DeliveryRecord.__dataclass_fields__]
        query = select(*columns).where(or_(_D.job_id == job_id, _D.batch_job_id == job_id))
        with self._database.begin() as connection:
            rows = connection.execute(query.order_by(_D.number))
            return [DeliveryRecord(**row._mapping) for row in rows]

    def _update(self, number: int, **values: Any) -> None:
        change = update(WEBHOOK_DELIVERIES).where(_D.number == number, _D.state == "waiting")
        with self._database.begin() as connection:
            connection.execute(change.values(**values))


def _batch_job(row: Any) -> DueDelivery:
    event = dict(row.event)
    counts = ("lines", "done_lines", "failed_lines")
    return DueDelivery(
        number=row.number,
        url=row.url,
        kind="batch_job",
        job_id=row.batch_job_id,
        key_id=row.key_id,
        name=event["task"],
        state=event["state"],
        error_code=event["error_code"],
        finished_at=datetime.fromisoformat(event["finished_at"]),
        lines={name: event[name] for name in counts},
    )
