"""Cleans up in the background: stores outcomes of jobs, enqueues jobs that the broker lost, drops indexes
whose build was abandoned.

Every gateway runs a sweeper; a lock in Postgres lets one work at a time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from database.locks import SessionLock
from gateway.background import run_in_background
from gateway.index_operations import IndexOperations
from gateway.jobs import JobService
from job_store.jobs import JobStore
from paddlewheel.async_client import AsyncClient
from paddlewheel.errors import PaddlewheelError

LOST_AFTER: Final = 5.0
"""Seconds before a job unknown to the broker counts as lost: its gateway may be about to enqueue it."""

log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps every `interval` seconds, and deletes jobs `keep` seconds after they ended."""

    def __init__(
        self,
        client: AsyncClient,
        jobs: JobService,
        job_store: JobStore,
        operations: IndexOperations,
        lock: SessionLock,
        *,
        interval: float,
        keep: float,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._job_store = job_store
        self._operations = operations
        self._lock = lock
        self._interval = interval
        self._keep = keep

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep in the background while the context is open."""
        try:
            async with run_in_background(self._run, "sweeper"):
                yield
        finally:
            await asyncio.to_thread(self._lock.release)

    async def round(self) -> tuple[int, int]:
        """Check every unsettled job once; returns how many were settled and how many enqueued again."""
        settled = enqueued = 0
        after = ""
        while jobs := await asyncio.to_thread(self._job_store.list_unsettled, after=after):
            after = jobs[-1].id
            records = await self._client.records([job.id for job in jobs])
            finished = [record for record in records if record is not None and record.finished]
            if finished:
                await self._jobs.settle(finished)
            missing = [job.id for job, record in zip(jobs, records, strict=True) if record is None]
            lost = (
                await asyncio.to_thread(self._job_store.find_lost, missing, seconds=LOST_AFTER)
                if missing
                else []
            )
            if lost:
                await self._jobs.enqueue(lost)
                log.warning("%d jobs were unknown to the broker and were enqueued again", len(lost))
            settled += len(finished)
            enqueued += len(lost)
        await asyncio.to_thread(self._job_store.purge, seconds=self._keep)
        await self._operations.clean_up()
        return settled, enqueued

    async def _run(self) -> None:
        while True:
            try:
                await self._operations.live()
                if await asyncio.to_thread(self._lock.take):
                    await self.round()
            except PaddlewheelError as err:
                log.warning("a sweep failed; the next one follows in %g s: %s", self._interval, err.message)
            except Exception:
                log.exception("a sweep failed unexpectedly; the next one follows in %g s", self._interval)
            await asyncio.sleep(self._interval)
