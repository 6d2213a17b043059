"""Batch jobs in Postgres: accepted, planned, run and finished, or stopped and resumed."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from database.clock import ago
from database.pool import Database
from job_store.batch_schema import BATCH_JOBS, BATCH_SHARDS
from job_store.http_schema import WEBHOOK_DELIVERIES
from paddlewheel.contracts.batch_jobs import BatchState, BatchStatus, NewBatchJob
from paddlewheel.errors import BatchJobNotFound, BatchJobState, IdempotencyMismatch, PaddlewheelError

RATE_SECONDS: Final = 60
"""What a job's rate is measured over."""

ACTIVE: Final = ("planning", "running", "finishing")

_J: Final = BATCH_JOBS.c
_S: Final = BATCH_SHARDS.c


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """A job as workers see it. `sink_digest` is the SHA-256 of a sink that it wrote before."""

    id: str
    task: str
    options: dict[str, Any]
    manifest: str
    sink: str
    shard_size: int | None
    window: int | None
    overwrite: bool
    state: BatchState
    sink_digest: str | None


class BatchJobStore:
    """The table of jobs. Every method is one transaction; they raise DatabaseUnavailable, SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        job: NewBatchJob,
        key_id: str = "",
        idempotency_key: str | None = None,
        webhook: str | None = None,
    ) -> BatchStatus:
        """Accept a job; `key_id` is its owner's, empty for the operator. `webhook` is notified of each end.

        The same idempotency key of the same owner is the same job. Raises InvalidRequest for options that
        the task does not know, IdempotencyMismatch for a key that stands for another job.
        """
        wanted = {
            **job.model_dump(exclude={"options"}),
            "options": job.checked_options(),
            "key_id": key_id,
            "webhook": webhook,
        }
        job_id = _id(key_id, idempotency_key)
        adding = upsert(BATCH_JOBS).values(**wanted, id=job_id).on_conflict_do_nothing()
        with self._database.begin() as connection:
            connection.execute(adding)
            row = _found(connection, job_id, key_id)
            if any(row._mapping[name] != value for name, value in wanted.items()):
                raise IdempotencyMismatch("The idempotency key was used for another job: take a new one.")
            return _status(connection, row)

    def status(self, job_id: str, key_id: str | None = None) -> BatchStatus:
        """The state of a job; with `key_id` only its owner's. Raises BatchJobNotFound."""
        with self._database.begin() as connection:
            return _status(connection, _found(connection, job_id, key_id))

    def page(
        self,
        key_id: str | None = None,
        *,
        state: str | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[BatchStatus]:
        """Jobs from the newest on, everybody's without `key_id`."""
        query = select(BATCH_JOBS).order_by(_J.created_at.desc()).limit(limit)
        if key_id is not None:
            query = query.where(_J.key_id == key_id)
        if state is not None:
            query = query.where(_J.state == state)
        if before is not None:
            query = query.where(_J.created_at < before)
        with self._database.begin() as connection:
            return [_status(connection, row) for row in connection.execute(query)]

    def cancel(self, job_id: str, key_id: str | None = None) -> BatchStatus:
        """Stop a job; its finished parts are kept for a while. One that has ended stays as it is."""
        with self._database.begin() as connection:
            row = _found(connection, job_id, key_id, lock=True)
            if row.state in ACTIVE:
                _end(connection, row.id, "cancelled")
            return _status(connection, _found(connection, job_id, key_id))

    def resume(self, job_id: str, key_id: str | None = None) -> BatchStatus:
        """Resume a cancelled or failed job; finished shards are not done again.

        Raises BatchJobNotFound, and BatchJobState for one that has not stopped or whose parts are gone.
        """
        with self._database.begin() as connection:
            row = _found(connection, job_id, key_id, lock=True)
            if row.state not in ("cancelled", "failed"):
                raise BatchJobState(f"Batch job {row.id} is {row.state}: there is nothing to resume.")
            self._reopen(connection, row, _S.state != "done")
            return _status(connection, _found(connection, job_id, key_id))

    def retry(self, job_id: str, key_id: str | None = None) -> BatchStatus:
        """Do only the failed lines of a finished job again, then rewrite the sink.

        Raises BatchJobNotFound, and BatchJobState where no line failed or the job is not finished.
        """
        with self._database.begin() as connection:
            row = _found(connection, job_id, key_id, lock=True)
            if row.state != "succeeded" or not row.failed_lines:
                raise BatchJobState(
                    f"Batch job {row.id} is {row.state} with {row.failed_lines} failed lines: only those of "
                    "a finished job are done again."
                )
            self._reopen(connection, row, _S.failed_lines > 0)
            return _status(connection, _found(connection, job_id, key_id))

    def _reopen(self, connection: Connection, row: Row[Any], shards: ColumnElement[bool]) -> None:
        if row.parts_removed_at is not None:
            raise BatchJobState(f"The parts of batch job {row.id} are no longer kept: submit it again.")
        connection.execute(
            update(BATCH_SHARDS)
            .where(_S.job_id == row.id, shards)
            .values(state="waiting", losses=0, failures=0, retry_at=None, error_code=None, task_id=None)
        )
        values = {"state": "running" if row.planned_at else "planning", "finished_at": None}
        cleared = {"error_code": None, "error_message": None}
        connection.execute(update(BATCH_JOBS).where(_J.id == row.id).values(**values, **cleared))

    def active(self) -> list[BatchJob]:
        """Jobs that have not ended, the oldest first."""
        query = select(BATCH_JOBS).where(_J.parts_removed_at.is_(None), _J.state.in_(ACTIVE))
        with self._database.begin() as connection:
            return [_job(row) for row in connection.execute(query.order_by(_J.created_at))]

    def advance(self, job_id: str, before: BatchState, after: BatchState) -> bool:
        """Change a job's state unless it was stopped meanwhile; whether it changed."""
        change = update(BATCH_JOBS).where(_J.id == job_id, _J.state == before).values(state=after)
        with self._database.begin() as connection:
            return connection.execute(change).rowcount == 1

    def succeed(self, job_id: str, sink_digest: str) -> bool:
        """End it: its sink is written."""
        with self._database.begin() as connection:
            return _end(connection, job_id, "succeeded", only="finishing", sink_digest=sink_digest)

    def fail(self, job_id: str, err: PaddlewheelError) -> bool:
        """End it with an error."""
        words = {"error_code": err.code, "error_message": err.message}
        with self._database.begin() as connection:
            return _end(connection, job_id, "failed", **words)

    def list_removable(self, keep: float) -> list[BatchJob]:
        """Ended jobs whose parts nobody needs: they succeeded in every line, or ended `keep` seconds ago."""
        old = _J.finished_at < ago(keep)
        whole = (_J.state == "succeeded") & (_J.failed_lines == 0)
        query = select(BATCH_JOBS).where(
            _J.parts_removed_at.is_(None), _J.finished_at.is_not(None), or_(whole, old)
        )
        # At random: ten whose files cannot be reached must not block the others.
        query = query.order_by(func.random()).limit(10)
        with self._database.begin() as connection:
            return [_job(row) for row in connection.execute(query)]

    def delete_shards(self, job_id: str) -> None:
        """Delete the shards, whose parts are gone; the job's own row stays."""
        with self._database.begin() as connection:
            connection.execute(delete(BATCH_SHARDS).where(_S.job_id == job_id))
            connection.execute(update(BATCH_JOBS).where(_J.id == job_id).values(parts_removed_at=func.now()))

    def purge(self, seconds: float, limit: int = 1000) -> int:
        """Delete jobs that ended longer ago than this and have no parts; how many. Their sinks stay."""
        old = select(_J.id).where(_J.finished_at < ago(seconds), _J.parts_removed_at.is_not(None))
        with self._database.begin() as connection:
            return connection.execute(delete(BATCH_JOBS).where(_J.id.in_(old.limit(limit)))).rowcount


def _found(connection: Connection, job_id: str, key_id: str | None, *, lock: bool = False) -> Row[Any]:
    query = select(BATCH_JOBS).where(_J.id == job_id)
    query = query if key_id is None else query.where(_J.key_id == key_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise BatchJobNotFound(f"There is no batch job {job_id[:40]}: 'paddlewheel batch list' shows them.")
    return row


def _id(key_id: str, idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return uuid.uuid4().hex[:16]
    return hashlib.sha256(f"{key_id}\n{idempotency_key}".encode()).hexdigest()[:16]


def _end(
    connection: Connection, job_id: str, state: BatchState, only: str | None = None, **values: Any
) -> bool:
    """End a job with the counts of its shards, which are deleted later, and notify its webhook."""
    counts = connection.execute(_counted(job_id)).one()
    change = (
        update(BATCH_JOBS)
        .where(_J.id == job_id, _J.state.in_((only,) if only else ACTIVE))
        .values(
            state=state,
            finished_at=func.now(),
            done_lines=counts.done,
            failed_lines=counts.failed,
            **values,
        )
        .returning(BATCH_JOBS)
    )
    row = connection.execute(change).first()
    if row is not None and row.webhook is not None:
        connection.execute(
            insert(WEBHOOK_DELIVERIES).values(batch_job_id=row.id, url=row.webhook, event=_event(row))
        )
    return row is not None


def _event(row: Row[Any]) -> dict[str, Any]:
    """The state at this end: by the time it is delivered, the job may have been resumed."""
    names = ("task", "state", "error_code", "lines", "done_lines", "failed_lines")
    return {name: row._mapping[name] for name in names} | {"finished_at": row.finished_at.isoformat()}


def _counted(job_id: str) -> Select[Any]:
    done = _S.state == "done"
    late = _S.finished_at > func.now() - text(f"interval '{RATE_SECONDS} s'")
    return select(
        func.coalesce(func.sum(_S.lines).filter(done), 0).label("done"),
        func.coalesce(func.sum(_S.failed_lines).filter(done), 0).label("failed"),
        func.coalesce(func.sum(_S.lines).filter(done, late), 0).label("late"),
        func.now().label("now"),
    ).where(_S.job_id == job_id)


def _status(connection: Connection, row: Row[Any]) -> BatchStatus:
    fields = dict(row._mapping)
    if row.state in ACTIVE:
        counts = connection.execute(_counted(row.id)).one()
        fields |= {"done_lines": counts.done, "failed_lines": counts.failed}
        if row.state == "running":
            fields |= _pace(row, counts)
    return BatchStatus.model_validate(fields)


def _pace(row: Row[Any], counts: Row[Any]) -> dict[str, float]:
    """The rate over the last minute, and what is left at that rate; nothing while nothing is done."""
    seconds = min(float(RATE_SECONDS), max(1.0, (counts.now - row.planned_at).total_seconds()))
    if not counts.late:
        return {}
    rate = float(counts.late) / seconds
    return {"rate": rate, "remaining_seconds": max(0.0, float(row.lines - counts.done)) / rate}


def _job(row: Row[Any]) -> BatchJob:
    return BatchJob(**{name: row._mapping[name] for name in BatchJob.__dataclass_fields__})
