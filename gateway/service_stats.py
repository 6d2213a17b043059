"""Statistics of the whole service: queues, dead letters, galleries and batch jobs."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from database.pool import Database
from gateway.admission import AdmissionControl, QueueStats
from index_store.gallery import GalleryTotals
from index_store.gallery_rows import GalleryRows
from job_store.job_stats import JobStats, read_job_stats
from paddlewheel.errors import PaddlewheelError

MEMORY: Final = 5.0
"""Seconds for which statistics are cached."""

LARGEST: Final = 20
"""Galleries reported by name. Their number has no limit, but the number of time series needs one."""


@dataclass(frozen=True, kw_only=True)
class DatabaseStats:
    """The counts of both stores."""

    jobs: JobStats
    galleries: GalleryTotals


@dataclass(frozen=True, kw_only=True)
class ServerStats:
    """Statistics of broker and database; None for a server that cannot be reached."""

    queues: Sequence[QueueStats] | None
    database: DatabaseStats | None


class ServiceStats:
    """Reads statistics on demand, at most every MEMORY seconds."""

    def __init__(self, admission: AdmissionControl, database: Database) -> None:
        self._admission = admission
        self._database = database
        self._galleries = GalleryRows(database)
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._latest = ServerStats(queues=None, database=None)

    async def read(self) -> ServerStats:
        """Read the statistics; a server that cannot be reached is None and raises nothing."""
        async with self._lock:
            if time.monotonic() - self._at > MEMORY:
                self._latest = ServerStats(
                    queues=await self._read_queues(), database=await self._read_database()
                )
                self._at = time.monotonic()
            return self._latest

    async def _read_queues(self) -> Sequence[QueueStats] | None:
        try:
            return await self._admission.queue_stats()
        except PaddlewheelError:
            return None

    async def _read_database(self) -> DatabaseStats | None:
        try:
            return await asyncio.to_thread(self._read_rows)
        except PaddlewheelError:
            return None

    def _read_rows(self) -> DatabaseStats:
        return DatabaseStats(
            jobs=read_job_stats(self._database), galleries=self._galleries.totals(largest=LARGEST)
        )
