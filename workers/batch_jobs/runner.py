"""A worker's part in batch jobs: it runs shards, and conducts all jobs while it has the lock."""

import logging
import threading
from typing import Final

from database.locks import LockName, SessionLock
from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from job_store.batch_shards import BatchShards
from paddlewheel.client import Client
from paddlewheel.contracts.batch_jobs import RanShard, RunShard
from paddlewheel.errors import FamilyNotServed, PaddlewheelError
from paddlewheel.sources.url_fetcher import UrlFetcher, UrlPolicy
from tasks.context import TaskContext
from workers.batch_jobs.inputs import Inputs
from workers.batch_jobs.leases import Leases
from workers.batch_jobs.models import BatchModels
from workers.batch_jobs.places import AllowedRoots
from workers.batch_jobs.scheduler import BatchScheduler
from workers.batch_jobs.shards import ShardRunner
from workers.images.prefetch import PrefetchingBlobStore
from workers.settings import WorkerSettings

ROUND_SECONDS: Final = 0.5
"""Between two looks while jobs are under way."""

IDLE_SECONDS: Final = 2.0
"""Between two looks while none is, or while another worker conducts."""

log = logging.getLogger(__name__)


class DisabledBatchJobs:
    """Stands where a worker has no database."""

    def run(self, request: RunShard, task: TaskContext) -> RanShard:
        """Raises FamilyNotServed."""
        del task
        raise FamilyNotServed(f"Batch job {request.job} needs a worker with PADDLEWHEEL_DATABASE_URL.")

    def close(self) -> None:
        """There is nothing."""


class BatchJobRunner:
    """Runs shards for the queue, and conducts in a thread of its own."""

    def __init__(self, settings: WorkerSettings, models: BatchModels, blobs: PrefetchingBlobStore) -> None:
        """The thread is started where the worker serves one of the queues `batch` and `index`."""
        roots = AllowedRoots(settings.batch_roots)
        # One connection is held by the lock.
        self._database = Database(settings.database_url, max_connections=8)
        shards = BatchShards(self._database)
        self._leases = Leases(shards, settings.visibility_timeout)
        urls = UrlFetcher(url_policy(settings)) if settings.batch_url_inputs else None
        inputs = Inputs(roots, blobs, urls, settings.max_blob_bytes)
        self._runner = ShardRunner(shards, self._leases, models, inputs, roots, blobs)
        self._client = Client(settings.broker_url, result_url=settings.result_url, blob_url=settings.blob_url)
        self._scheduler = BatchScheduler(
            BatchJobStore(self._database),
            shards,
            self._client,
            roots,
            SessionLock(self._database, LockName.BATCH_SCHEDULER),
            shard_size=settings.batch_shard_size,
            window=settings.batch_window,
            keep=settings.batch_keep,
            keep_jobs=settings.batch_keep_jobs,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batch-scheduler", daemon=True)
        self._leases.start()
        if {"batch", "index"} & set(settings.queues):
            self._thread.start()

    def run(self, request: RunShard, task: TaskContext) -> RanShard:
        """Do a shard."""
        return self._runner.run(request, task)

    def close(self) -> None:
        """End the background work; another worker conducts from then on."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._scheduler.close()
        self._leases.close()
        self._client.close()
        self._database.close()

    def _run(self) -> None:
        trouble = None
        pause = 0.0
        while not self._stop.wait(pause):
            pause = IDLE_SECONDS
            try:
                pause = ROUND_SECONDS if self._scheduler.round() else IDLE_SECONDS
                trouble = None
            except PaddlewheelError as err:
                if trouble != err.code:
                    log.warning("batch jobs cannot be conducted, and are tried again: %s", err.message)
                trouble = err.code
            except Exception:
                log.exception("batch jobs could not be conducted, and are tried again")


def url_policy(settings: WorkerSettings) -> UrlPolicy:
    """What may be fetched by its web address, where that is allowed at all."""
    return UrlPolicy(
        hosts=settings.batch_url_hosts,
        networks=settings.batch_url_networks,
        allow_http=settings.batch_url_allow_http,
        max_bytes=settings.max_blob_bytes,
    )
