"""How much waits in the tables of jobs, dead letters, webhooks and batch jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from sqlalchemy import Connection, text

from database.pool import Database
from job_store.batch_jobs import RATE_SECONDS
from paddlewheel.contracts.batch_jobs import BatchState

_WAITING: Final = text("""
SELECT (SELECT count(*) FROM dead_letters WHERE state = 'dead'),
       (SELECT count(*) FROM jobs WHERE state = 'queued'),
       (SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting')
""")

_BATCH_JOBS: Final = text("SELECT state, count(*) AS jobs FROM batch_jobs GROUP BY state")

# Of jobs that have not ended: the shards of others are deleted after a while.
_BATCH_LINES: Final = text("""
SELECT coalesce(sum(s.lines) FILTER (WHERE s.state <> 'done'), 0),
       coalesce(sum(s.lines - s.failed_lines) FILTER (WHERE s.state = 'done'), 0),
       coalesce(sum(s.failed_lines) FILTER (WHERE s.state = 'done'), 0),
       coalesce(sum(s.lines) FILTER (WHERE s.finished_at > now() - make_interval(secs => :seconds)), 0)
FROM batch_jobs j JOIN batch_shards s ON s.job_id = j.id
WHERE j.finished_at IS NULL
""")


@dataclass(frozen=True, kw_only=True)
class BatchJobStats:
    """`jobs` by their state; the lines are those of jobs that have not ended."""

    jobs: Mapping[str, int]
    waiting_lines: int
    good_lines: int
    failed_lines: int
    lines_per_second: float


@dataclass(frozen=True, kw_only=True)
class JobStats:
    """Counts of rows that wait for somebody."""

    dead_letters: int
    waiting_jobs: int
    waiting_webhooks: int
    batches: BatchJobStats


def read_job_stats(database: Database) -> JobStats:
    """The counts at this moment. Raises DatabaseUnavailable, SchemaOutdated."""
    with database.begin() as connection:
        dead, jobs, webhooks = connection.execute(_WAITING).one()
        batches = _batch_stats(connection)
    return JobStats(dead_letters=dead, waiting_jobs=jobs, waiting_webhooks=webhooks, batches=batches)


def _batch_stats(connection: Connection) -> BatchJobStats:
    jobs = {row.state: row.jobs for row in connection.execute(_BATCH_JOBS)}
    waiting, good, failed, late = connection.execute(_BATCH_LINES, {"seconds": RATE_SECONDS}).one()
    return BatchJobStats(
        jobs={state: jobs.get(state, 0) for state in get_args(BatchState)},
        waiting_lines=int(waiting),
        good_lines=int(good),
        failed_lines=int(failed),
        lines_per_second=float(late) / RATE_SECONDS,
    )
