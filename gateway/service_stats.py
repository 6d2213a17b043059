"""The state of the whole service: its queues, dead letters, galleries and batch jobs."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from database.pool import Database
from gateway.admission import AdmissionControl, QueueLine
from index_store.gallery import GalleryTotals
from index_store.gallery_rows import GalleryRows
from job_store.job_stats import JobStats, read_job_stats
from paddlewheel.errors import PaddlewheelError

MEMORY: Final = 5.0
"""Seconds for which statistics are reused, however often a caller asks."""

LARGEST: Final = 20
"""Galleries that metrics name: their number has no limit, that of time series has to have one."""


@dataclass(frozen=True, kw_only=True)
class DatabaseStats:
    """The counts of both stores."""

    jobs: JobStats
    galleries: GalleryTotals


@dataclass(frozen=True, kw_only=True)
class ServerStats:
    """One look at the servers; None for one that did not answer."""

    lines: Sequence[QueueLine] | None
    stored: DatabaseStats | None


class ServiceStats:
    """Looks when a caller asks, at most once every MEMORY seconds."""

    def __init__(self, admission: AdmissionControl, database: Database) -> None:
        self._admission = admission
        self._database = database
        self._galleries = GalleryRows(database)
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._latest = ServerStats(lines=None, stored=None)

    async def read(self) -> ServerStats:
        """The state of the servers; one that does not answer is reported as None, not raised."""
        async with self._lock:
            if time.monotonic() - self._at > MEMORY:
                self._latest = ServerStats(lines=await self._queues(), stored=await self._rows())
                self._at = time.monotonic()
            return self._latest

    async def _queues(self) -> Sequence[QueueLine] | None:
        try:
            return await self._admission.lines()
        except PaddlewheelError:
            return None

    async def _rows(self) -> DatabaseStats | None:
        try:
            return await asyncio.to_thread(self._read_rows)
        except PaddlewheelError:
            return None

    def _read_rows(self) -> DatabaseStats:
        return DatabaseStats(
            jobs=read_job_stats(self._database), galleries=self._galleries.totals(largest=LARGEST)
        )
