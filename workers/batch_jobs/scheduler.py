"""Schedules all batch jobs: plans their shards, keeps a window of them in the queue, writes their sinks.

Many workers may run a scheduler; a lock in Postgres lets one at a time work. Its state is in the database,
so that the next scheduler continues where one was killed.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

from database.locks import SessionLock
from job_store.batch_jobs import BatchJob, BatchJobStore
from job_store.batch_shards import BatchShards
from paddlewheel.client import Client
from paddlewheel.contracts.batch_jobs import RUN_SHARD, RunShard
from paddlewheel.errors import AddressRefused, CallerError, PaddlewheelError, SinkExists
from paddlewheel.wire.requests import make_message
from workers.batch_jobs.manifest import plan_shards
from workers.batch_jobs.places import AllowedRoots
from workers.batch_jobs.shards import parts_folder
from workers.batch_jobs.sink import write_sink

LOST_AFTER: Final = 3.0
"""Seconds that the broker may not know a queued shard, or may know it as ended: it may be in transit."""

PATIENCE: Final = 600.0
"""Seconds after which a shard is queued once more whatever the result store says; a duplicate delivery does
nothing."""

TRIES: Final = 5
"""Failures of the service that a shard, a plan or a sink may have before its job fails."""

CHUNK: Final = 1 << 20
PLANNED_AT_ONCE: Final = 500

log = logging.getLogger(__name__)


class BatchScheduler:
    """`window` shards are under way at a time, which the jobs divide between them.

    `shard_size` is for jobs that name none; after its end a job's parts are kept
    for `keep` seconds and its row for `keep_jobs`; its sink is never deleted.
    """

    def __init__(
        self,
        jobs: BatchJobStore,
        shards: BatchShards,
        client: Client,
        roots: AllowedRoots,
        lock: SessionLock,
        *,
        shard_size: int,
        window: int,
        keep: float,
        keep_jobs: float,
    ) -> None:
        self._jobs = jobs
        self._shards = shards
        self._client = client
        self._roots = roots
        self._lock = lock
        self._shard_size = shard_size
        self._window = window
        self._keep = keep
        self._keep_jobs = keep_jobs
        # A long manifest or result of one job must not stop the others.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="batch-files")
        self._working: dict[str, Future[None]] = {}
        self._tries: dict[str, int] = {}

    def round(self) -> bool:
        """Look at every job once; whether there is one. False where another process has the lock."""
        if not self._lock.take():
            return False
        active = self._jobs.active()
        share = self._window // max(1, sum(job.state == "running" for job in active))
        for job in active:
            if job.state == "running":
                self._run(job, max(1, min(share, job.window or share)))
            else:
                self._in_background(job, self._plan if job.state == "planning" else self._finish)
        for job in self._jobs.list_removable(self._keep):
            self._in_background(job, self._remove_parts)
        self._jobs.purge(self._keep_jobs)
        return bool(active)

    def close(self) -> None:
        """Release the lock. A plan or a sink that is being written is abandoned."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._lock.release()

    def settle(self) -> None:
        """Wait for the background work."""
        for each in list(self._working.values()):
            each.result()

    def _run(self, job: BatchJob, window: int) -> None:
        expired = self._shards.release_expired(job.id)
        if expired:
            log.warning("%d shards of batch job %s were lost with their worker", expired, job.id)
        self._look_for_lost(job)
        worst = self._shards.worst_failure(job.id)
        if worst is not None and (isinstance(worst[1], CallerError) or worst[0] > TRIES):
            self._fail(job, worst[1])
        elif self._shards.all_done(job.id):
            self._jobs.advance(job.id, "running", "finishing")
        else:
            self._enqueue(job, window)

    def _enqueue(self, job: BatchJob, window: int) -> None:
        due = self._shards.next_for_queue(job.id, window)
        messages = [
            make_message(RUN_SHARD, task_id, RunShard(job=job.id, shard=first), "bulk", None)
            for first, task_id in due
        ]
        if messages:
            self._client.run(self._client.as_async().publish(messages))

    def _look_for_lost(self, job: BatchJob) -> None:
        """Queued shards that the broker has forgotten, or whose task ended without taking them."""
        queued = self._shards.list_queued(job.id, LOST_AFTER)
        if not queued:
            return
        records = self._client.run(self._client.as_async().records([task_id for _, task_id, _ in queued]))
        lost = [
            (first, task_id)
            for (first, task_id, seconds), record in zip(queued, records, strict=True)
            if record is None or record.finished or seconds > PATIENCE
        ]
        if lost:
            count = self._shards.release_lost(job.id, lost)
            log.warning("%d shards of batch job %s were lost by the broker", count, job.id)

    def _plan(self, job: BatchJob) -> None:
        sink = self._roots.place(job.sink)
        if not job.overwrite and sink.exists():
            raise SinkExists(f"There is a file at {job.sink} already, which the job must not overwrite.")
        if not self._shards.begin_plan(job.id):
            return
        shards = plan_shards(
            self._roots.place(job.manifest).chunks(CHUNK), job.shard_size or self._shard_size
        )
        lines = 0
        while some := list(islice(shards, PLANNED_AT_ONCE)):
            if not self._shards.add(job.id, some):
                return
            lines = some[-1].first_line + some[-1].lines
        self._shards.finish_plan(job.id, lines)

    def _finish(self, job: BatchJob) -> None:
        self._jobs.succeed(job.id, write_sink(job, self._roots.place(job.sink), self._shards))

    def _remove_parts(self, job: BatchJob) -> None:
        try:
            sink = self._roots.place(job.sink)
        except AddressRefused:
            # The roots are others now: what is left there is the operator's.
            pass
        else:
            parts_folder(sink, job).remove()
        self._jobs.delete_shards(job.id)

    def _in_background(self, job: BatchJob, work: Callable[[BatchJob], None]) -> None:
        running = self._working.get(job.id)
        if running is None or running.done():
            self._working = {key: each for key, each in self._working.items() if not each.done()}
            self._working[job.id] = self._pool.submit(self._attempt, job, work)

    def _attempt(self, job: BatchJob, work: Callable[[BatchJob], None]) -> None:
        tries = self._tries.pop(job.id, 0) + 1
        try:
            work(job)
        except PaddlewheelError as err:
            log.warning("batch job %s: %s", job.id, err.message)
            if isinstance(err, CallerError) or tries > TRIES:
                self._fail(job, err)
            else:
                self._tries[job.id] = tries
        except Exception:
            log.exception("batch job %s failed unexpectedly", job.id)
            self._tries[job.id] = tries

    def _fail(self, job: BatchJob, err: PaddlewheelError) -> None:
        if self._jobs.fail(job.id, err):
            log.warning("batch job %s has failed: %s", job.id, err.message)
