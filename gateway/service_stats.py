"""What the whole service is like at the moment: its queues, dead letters, galleries and batch jobs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from sqlalchemy import Connection, text

from gateway.admission import AdmissionControl, QueueLine
from job_store.batch_jobs import RATE_SECONDS
from job_store.database import Database
from paddlewheel.contracts.batch_jobs import BatchState
from paddlewheel.errors import PaddlewheelError

MEMORY: Final = 5.0
"""Seconds that figures are reused, however often somebody asks."""

LARGEST: Final = 20
"""Galleries that are told of by name: their number has no limit, that of time series has to have one."""

# A gallery lags while changes of it are in no segment file; see docs/galleries.md for when they have to be.
_STANDING: Final = text("""
SELECT (SELECT count(*) FROM dead_letters WHERE state = 'dead'),
       (SELECT count(*) FROM jobs WHERE state = 'queued'),
       (SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting'),
       count(*), coalesce(sum(live), 0), coalesce(max(generation - sealed_generation), 0)
FROM galleries
""")

_LARGEST: Final = text(
    "SELECT key, live, generation - sealed_generation FROM galleries ORDER BY live DESC LIMIT :n"
)


_BATCH_JOBS: Final = text("SELECT state, count(*) AS jobs FROM batch_jobs GROUP BY state")

# Of jobs that have not ended: the shards of others are deleted some day.
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
class GalleryStats:
    """`unsealed` counts changes that are in no segment file yet."""

    key: str
    vectors: int
    unsealed: int


@dataclass(frozen=True, kw_only=True)
class DatabaseStats:
    """What is in the database."""

    dead_letters: int
    waiting_jobs: int
    waiting_webhooks: int
    galleries: int
    vectors: int
    most_unsealed: int
    largest: tuple[GalleryStats, ...]
    batches: BatchJobStats


@dataclass(frozen=True, kw_only=True)
class ServerStats:
    """One look at the servers; None for one that could not be asked."""

    lines: Sequence[QueueLine] | None
    standing: DatabaseStats | None


class ServiceStats:
    """Looks when somebody asks, and not more often than every MEMORY seconds."""

    def __init__(self, admission: AdmissionControl, database: Database) -> None:
        self._admission = admission
        self._database = database
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._figures = ServerStats(lines=None, standing=None)

    async def read(self) -> ServerStats:
        """How the servers are; one that is away is told as such, not raised."""
        async with self._lock:
            if time.monotonic() - self._at > MEMORY:
                self._figures = ServerStats(lines=await self._lines(), standing=await self._standing())
                self._at = time.monotonic()
            return self._figures

    async def _lines(self) -> Sequence[QueueLine] | None:
        try:
            return await self._admission.lines()
        except PaddlewheelError:
            return None

    async def _standing(self) -> DatabaseStats | None:
        try:
            return await asyncio.to_thread(self._ask)
        except PaddlewheelError:
            return None

    def _ask(self) -> DatabaseStats:
        with self._database.transaction() as connection:
            dead, jobs, webhooks, galleries, vectors, unsealed = connection.execute(_STANDING).one()
            largest = connection.execute(_LARGEST, {"n": LARGEST}).all()
            batches = _batches(connection)
        return DatabaseStats(
            dead_letters=dead,
            waiting_jobs=jobs,
            waiting_webhooks=webhooks,
            galleries=galleries,
            vectors=int(vectors),
            most_unsealed=unsealed,
            largest=tuple(GalleryStats(key=key, vectors=size, unsealed=lag) for key, size, lag in largest),
            batches=batches,
        )


def _batches(connection: Connection) -> BatchJobStats:
    jobs = {row.state: row.jobs for row in connection.execute(_BATCH_JOBS)}
    waiting, good, failed, late = connection.execute(_BATCH_LINES, {"seconds": RATE_SECONDS}).one()
    return BatchJobStats(
        jobs={state: jobs.get(state, 0) for state in get_args(BatchState)},
        waiting_lines=int(waiting),
        good_lines=int(good),
        failed_lines=int(failed),
        lines_per_second=float(late) / RATE_SECONDS,
    )
