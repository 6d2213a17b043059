"""The shards of batch jobs in Postgres: which worker does which lines until when, and what they became.

A shard waits, is queued with the broker, is run under a lease that its worker renews, and is done once.
Taking over a shard whose lease has expired counts as a loss: its lines may be done twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update

from database.clock import ago, from_now
from database.pool import Database
from job_store.batch_jobs import BatchJob
from job_store.batch_schema import BATCH_JOBS, BATCH_SHARDS
from paddlewheel.errors import PaddlewheelError, error_from

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a shard that failed is tried again; twice as long each time."""

_J: Final = BATCH_JOBS.c
_S: Final = BATCH_SHARDS.c


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """Lines `first_line` to `first_line + lines` (not included), at these bytes of the manifest.

    `digest` is of their addresses, so that a manifest that has changed is noticed.
    """

    first_line: int
    lines: int
    begin_byte: int
    end_byte: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class ShardOutput:
    """The lines that a shard became: a file beside the sink, its size and its SHA-256."""

    name: str
    bytes: int
    digest: str
    failed_lines: int


@dataclass(frozen=True, kw_only=True)
class ClaimedShard:
    """A shard that a worker does now. `part` is there when only its failed lines are to be done again."""

    job: BatchJob
    plan: PlannedShard
    task_id: str
    losses: int
    failures: int
    part: ShardOutput | None

    @property
    def key(self) -> tuple[str, int, str]:
        """The shard, and this delivery of it."""
        return self.job.id, self.plan.first_line, self.task_id


class BatchShards:
    """The table of shards. Every method is one transaction; raises DatabaseUnavailable, SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin_plan(self, job_id: str) -> bool:
        """Delete an unfinished plan; whether the job still wants one."""
        with self._database.begin() as connection:
            wanted = _locked(connection, job_id) == "planning"
            if wanted:
                connection.execute(delete(BATCH_SHARDS).where(_S.job_id == job_id))
            return wanted

    def add(self, job_id: str, shards: Sequence[PlannedShard]) -> bool:
        """Keep more of a plan; whether the job still wants it."""
        with self._database.begin() as connection:
            wanted = _locked(connection, job_id) == "planning"
            if wanted and shards:
                connection.execute(
                    insert(BATCH_SHARDS), [{"job_id": job_id, **vars(each)} for each in shards]
                )
            return wanted

    def finish_plan(self, job_id: str, lines: int) -> None:
        """Let the job run: its plan is complete."""
        change = update(BATCH_JOBS).where(_J.id == job_id, _J.state == "planning")
        with self._database.begin() as connection:
            connection.execute(change.values(state="running", lines=lines, planned_at=func.now()))

    def next_for_queue(self, job_id: str, window: int) -> list[tuple[int, str]]:
        """First lines and new task ids of waiting shards, as many as the window has room for, now queued."""
        busy = select(func.count()).where(_S.job_id == job_id, _S.state.in_(("queued", "running")))
        ready = (_S.state == "waiting") & (_S.retry_at.is_(None) | (_S.retry_at <= func.now()))
        with self._database.begin() as connection:
            if _locked(connection, job_id) != "running":
                return []
            room = window - connection.execute(busy).scalar_one()
            if room <= 0:
                return []
            due = select(_S.first_line).where(_S.job_id == job_id, ready).order_by(_S.first_line).limit(room)
            change = (
                update(BATCH_SHARDS)
                .where(_S.job_id == job_id, _S.first_line.in_(due.scalar_subquery()))
                .values(
                    state="queued", queued_at=func.now(), task_id=func.gen_random_uuid().cast(_S.task_id.type)
                )
                .returning(_S.first_line, _S.task_id)
            )
            return sorted((row.first_line, row.task_id) for row in connection.execute(change))

    def list_queued(self, job_id: str, seconds: float) -> list[tuple[int, str, float]]:
        """First line, task id and seconds of shards that have been queued for longer than this."""
        waited = func.extract("epoch", func.now() - _S.queued_at)
        query = select(_S.first_line, _S.task_id, waited.label("waited")).where(
            _S.job_id == job_id, _S.state == "queued", _S.queued_at < ago(seconds)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query)
            return [(row.first_line, row.task_id, float(row.waited)) for row in rows]

    def release_lost(self, job_id: str, lost: Iterable[tuple[int, str]]) -> int:
        """Let shards wait again that the broker has lost; how many had not been taken meanwhile."""
        change = update(BATCH_SHARDS).where(
            _S.job_id == job_id, _S.state == "queued", tuple_(_S.first_line, _S.task_id).in_(list(lost))
        )
        with self._database.begin() as connection:
            return connection.execute(change.values(state="waiting", task_id=None)).rowcount

    def release_expired(self, job_id: str) -> int:
        """Shards whose worker has stopped renewing its lease wait again; how many."""
        change = (
            update(BATCH_SHARDS)
            .where(_S.job_id == job_id, _S.state == "running", _S.lease_until < func.now())
            .values(state="waiting", task_id=None, losses=_S.losses + 1)
            .returning(_S.lines)
        )
        with self._database.begin() as connection:
            lost = list(connection.execute(change).scalars())
            if lost:
                _count_redone(connection, job_id, sum(lost))
            return len(lost)

    def worst_failure(self, job_id: str) -> tuple[int, PaddlewheelError] | None:
        """How often the shard that failed most often did so, and its last error."""
        query = select(_S.failures, _S.error_code, _S.error_message).where(
            _S.job_id == job_id, _S.state != "done", _S.error_code.is_not(None)
        )
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(_S.failures.desc()).limit(1)).first()
        return (row.failures, error_from(row.error_code, row.error_message)) if row else None

    def all_done(self, job_id: str) -> bool:
        """Whether no shard is left."""
        query = select(_S.first_line).where(_S.job_id == job_id, _S.state != "done").limit(1)
        with self._database.begin() as connection:
            return connection.execute(query).first() is None

    def parts(self, job_id: str, after: int = -1, limit: int = 1000) -> list[tuple[int, ShardOutput]]:
        """First lines and parts of finished shards, in the order of the manifest."""
        query = select(BATCH_SHARDS).where(_S.job_id == job_id, _S.first_line > after, _S.part.is_not(None))
        with self._database.begin() as connection:
            rows = connection.execute(query.order_by(_S.first_line).limit(limit))
            return [(row.first_line, _part_of(row)) for row in rows]

    def claim(self, job_id: str, first_line: int, task_id: str, lease: float) -> ClaimedShard | None:
        """Take a shard for `lease` seconds; None where it is done, taken by another, or no longer wanted."""
        query = (
            select(BATCH_SHARDS, (_S.lease_until < func.now()).label("expired"))
            .where(_S.job_id == job_id, _S.first_line == first_line)
            .with_for_update()
        )
        with self._database.begin() as connection:
            job = connection.execute(select(BATCH_JOBS).where(_J.id == job_id)).first()
            row = connection.execute(query).first()
            if job is None or row is None or job.state != "running" or row.state == "done":
                return None
            taken_over = row.state == "running"
            if taken_over and row.task_id != task_id and not row.expired:
                return None
            losses = row.losses + taken_over
            connection.execute(
                update(BATCH_SHARDS)
                .where(_S.job_id == job_id, _S.first_line == first_line)
                .values(state="running", task_id=task_id, lease_until=from_now(lease), losses=losses)
            )
            if taken_over:
                _count_redone(connection, job_id, row.lines)
            return ClaimedShard(
                job=BatchJob(**{name: job._mapping[name] for name in BatchJob.__dataclass_fields__}),
                plan=PlannedShard(**{n: row._mapping[n] for n in PlannedShard.__dataclass_fields__}),
                task_id=task_id,
                losses=losses,
                failures=row.failures,
                part=_part_of(row) if row.part is not None else None,
            )

    def find_states(self, job_id: str, first_line: int) -> tuple[str | None, str | None]:
        """The states of a job and of its shard; None for one that is not there."""
        query = select(_J.state, _S.state).join_from(
            BATCH_JOBS,
            BATCH_SHARDS,
            (_S.job_id == _J.id) & (_S.first_line == first_line),
            isouter=True,
        )
        with self._database.begin() as connection:
            row = connection.execute(query.where(_J.id == job_id)).first()
        return (row[0], row[1]) if row else (None, None)

    def renew(self, keys: Sequence[tuple[str, int, str]], lease: float) -> set[tuple[str, int, str]]:
        """Prolong leases; returns those that still hold. A job that was stopped holds none."""
        running = select(_J.id).where(_J.state == "running")
        change = (
            update(BATCH_SHARDS)
            .where(
                tuple_(_S.job_id, _S.first_line, _S.task_id).in_(list(keys)),
                _S.state == "running",
                _S.job_id.in_(running),
            )
            .values(lease_until=from_now(lease))
            .returning(_S.job_id, _S.first_line, _S.task_id)
        )
        with self._database.begin() as connection:
            return {(row.job_id, row.first_line, row.task_id) for row in connection.execute(change)}

    def complete(self, claimed: ClaimedShard, part: ShardOutput) -> bool:
        """Record the shard's part; False where another worker was first or has taken over."""
        values = {
            "state": "done",
            "finished_at": func.now(),
            "lease_until": None,
            "part": part.name,
            "part_bytes": part.bytes,
            "part_digest": part.digest,
            "failed_lines": part.failed_lines,
            "error_code": None,
            "error_message": None,
        }
        with self._database.begin() as connection:
            return connection.execute(_mine(claimed).values(**values)).rowcount == 1

    def give_back(self, claimed: ClaimedShard, err: PaddlewheelError | None) -> None:
        """Release a shard that was not done: for another worker at once, or after a pause where it failed."""
        values: dict[str, Any] = {"state": "waiting", "lease_until": None, "task_id": None}
        if err is not None:
            pause = func.least(LONGEST_PAUSE, FIRST_PAUSE * func.power(2.0, _S.failures))
            values |= {
                "failures": _S.failures + 1,
                "retry_at": from_now(pause),
                "error_code": err.code,
                "error_message": err.message,
            }
        with self._database.begin() as connection:
            connection.execute(_mine(claimed).values(**values))

    def split(self, claimed: ClaimedShard, pieces: Sequence[PlannedShard]) -> None:
        """Replace it by smaller shards, so that lines that kill workers are isolated."""
        job_id = claimed.job.id
        with self._database.begin() as connection:
            if connection.execute(delete(BATCH_SHARDS).where(*_held(claimed))).rowcount:
                connection.execute(
                    insert(BATCH_SHARDS), [{"job_id": job_id, **vars(each)} for each in pieces]
                )


def _mine(claimed: ClaimedShard) -> Any:
    return update(BATCH_SHARDS).where(*_held(claimed))


def _held(claimed: ClaimedShard) -> tuple[Any, ...]:
    job_id, first_line, task_id = claimed.key
    return _S.job_id == job_id, _S.first_line == first_line, _S.task_id == task_id, _S.state == "running"


def _locked(connection: Connection, job_id: str) -> str | None:
    """The job's state, locked until the transaction ends."""
    query = select(_J.state).where(_J.id == job_id).with_for_update()
    return connection.execute(query).scalar()


def _count_redone(connection: Connection, job_id: str, lines: int) -> None:
    change = update(BATCH_JOBS).where(_J.id == job_id)
    connection.execute(change.values(redone_lines=_J.redone_lines + lines))


def _part_of(row: Row[Any]) -> ShardOutput:
    return ShardOutput(
        name=row.part, bytes=row.part_bytes, digest=row.part_digest, failed_lines=row.failed_lines
    )
