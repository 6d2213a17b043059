"""Looks after what nobody waits for: keeps jobs' outcomes, enqueues what the broker has lost, drops indexes
whose build was given up.

Every gateway runs one; a lock in Postgres lets one at a time work.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from database.locks import SessionLock
from gateway.background import running
from gateway.index_operations import IndexOperations
from gateway.jobs import JobService
from job_store.jobs import JobStore
from paddlewheel.async_client import AsyncClient
from paddlewheel.errors import PaddlewheelError

LOST_AFTER: Final = 5.0
"""Seconds that a job may be unknown to the broker: its gateway may be about to enqueue it."""

log = logging.getLogger(__name__)


class Sweeper:
    """`interval` is the pause between two rounds, `keep` how long an ended job is kept; in seconds."""

    def __init__(
        self,
        client: AsyncClient,
        desk: JobService,
        jobs: JobStore,
        operations: IndexOperations,
        lock: SessionLock,
        *,
        interval: float,
        keep: float,
    ) -> None:
        self._client = client
        self._desk = desk
        self._jobs = jobs
        self._operations = operations
        self._lock = lock
        self._interval = interval
        self._keep = keep

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep in the background meanwhile."""
        try:
            async with running(self._run, "sweeper"):
                yield
        finally:
            await asyncio.to_thread(self._lock.release)

    async def round(self) -> tuple[int, int]:
        """Look at every job once; how many were settled, and how many enqueued again."""
        settled = enqueued = 0
        after = ""
        while jobs := await asyncio.to_thread(self._jobs.unsettled, after=after):
            after = jobs[-1].id
            records = await self._client.records([job.id for job in jobs])
            finished = [record for record in records if record is not None and record.finished]
            if finished:
                await self._desk.settle(finished)
            missing = [job.id for job, record in zip(jobs, records, strict=True) if record is None]
            lost = await asyncio.to_thread(self._jobs.lost, missing, seconds=LOST_AFTER) if missing else []
            if lost:
                await self._desk.enqueue(lost)
                log.warning("%d jobs were unknown to the broker and are enqueued again", len(lost))
            settled += len(finished)
            enqueued += len(lost)
        await asyncio.to_thread(self._jobs.purge, seconds=self._keep)
        await self._operations.tidy()
        return settled, enqueued

    async def _run(self) -> None:
        while True:
            try:
                await self._operations.live()
                if await asyncio.to_thread(self._lock.take):
                    await self.round()
            except PaddlewheelError as err:
                log.warning("sweeping failed, and goes on: %s", err.message)
            except Exception:
                log.exception("sweeping failed unexpectedly, and goes on")
            await asyncio.sleep(self._interval)
