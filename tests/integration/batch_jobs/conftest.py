"""Batch jobs on a real Postgres and Valkey; the test itself is the worker that takes their messages."""

import base64
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from redis import Redis

from database.locks import SessionLock
from database.migration import migrate
from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from job_store.batch_shards import BatchShards
from paddlewheel import Client
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.contracts.batch_jobs import BatchStatus, NewBatchJob, RanShard, RunShard
from paddlewheel.contracts.images import CLASSIFY_IMAGE, ClassifiedImage
from paddlewheel.errors import PaddlewheelError
from tasks.batched import BatchedTask
from tasks.context import TaskContext
from tasks.steps import Steps
from tests.conftest import RunningServer
from workers.batch_jobs.inputs import Inputs
from workers.batch_jobs.leases import Leases
from workers.batch_jobs.models import BatchModels
from workers.batch_jobs.places import AllowedRoots
from workers.batch_jobs.scheduler import BatchScheduler
from workers.batch_jobs.shards import ShardRunner
from workers.images.prefetch import PrefetchingBlobStore

LIST = "batch\x06\x166"
Message = tuple[RunShard, str]


class Pictures:
    """Says of a picture what its bytes are, as the class's name; counts how often it was asked."""

    def __init__(self, blobs: PrefetchingBlobStore) -> None:
        self._blobs = blobs
        self.seen: Counter[str] = Counter()
        self.error: PaddlewheelError | None = None

    def classify(self, request: Any, task: TaskContext) -> Steps[ClassifiedImage]:
        del task
        if self.error is not None:
            raise self.error
        name = self._blobs.get(request.image).decode()
        self.seen[name] += 1
        yield
        return ClassifiedImage(class_id=1, class_name=name, class_probs={name: request.top_k / 100_000})


class Bench:
    """A scheduler and a worker over the test's own database, driven step by step."""

    def __init__(
        self, database_url: str, valkey: RunningServer, folder: Path, store: str | None = None
    ) -> None:
        self.folder = folder
        self.redis = Redis.from_url(valkey.url)
        self.redis.delete(LIST)
        self.database = Database(database_url, max_connections=12)
        self.jobs = BatchJobStore(self.database)
        self.shards = BatchShards(self.database)
        self.client = Client(valkey.url)
        self.blobs = PrefetchingBlobStore(open_blob_store(valkey.url, ttl=600, max_bytes=1 << 20))
        self.pictures = Pictures(self.blobs)
        self.roots = AllowedRoots([str(folder), store or f"memory://{folder.name}"])
        self.scheduler = self.another_scheduler()
        self.leases = Leases(self.shards, 30.0)
        classify = BatchedTask(spec=CLASSIFY_IMAGE, body=self.pictures.classify, at_once=8)
        inputs = Inputs(self.roots, self.blobs, None, 1 << 20)
        self.runner = ShardRunner(
            self.shards,
            self.leases,
            BatchModels({CLASSIFY_IMAGE.name: classify}),
            inputs,
            self.roots,
            self.blobs,
        )

    def another_scheduler(self) -> BatchScheduler:
        lock = SessionLock(self.database, 7)
        numbers = {"shard_size": 4, "window": 3, "keep": 3600.0, "keep_jobs": 7200.0}
        return BatchScheduler(self.jobs, self.shards, self.client, self.roots, lock, **numbers)  # type: ignore[arg-type]

    def submit(self, *addresses: str, sink: str | None = None, **fields: Any) -> str:
        """A job of a manifest in the folder; its id."""
        manifest = self.folder / f"{uuid.uuid4().hex}.txt"
        manifest.write_text("".join(f"{address}\n" for address in addresses))
        job = NewBatchJob(manifest=str(manifest), sink=sink or str(self.folder / "result.txt"), **fields)
        return self.jobs.submit(job).id

    def images(self, count: int) -> list[str]:
        """Addresses of so many images, whose bytes are `0`, `1` and so on."""
        paths = [self.folder / f"image {number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_text(str(number))
        return [str(path) for path in paths]

    def round(self) -> None:
        """The scheduler looks once, and what it began is done."""
        assert self.scheduler.round() in (True, False)
        self.scheduler.settle()

    def messages(self) -> list[Message]:
        """What has been enqueued since, taken out of the broker."""
        found = []
        while (raw := self.redis.rpop(LIST)) is not None:
            envelope = json.loads(raw)  # type: ignore[arg-type]
            ((request,), _, _) = json.loads(base64.b64decode(envelope["body"]))
            found.append((RunShard.model_validate(request), envelope["headers"]["id"]))
        return found

    def work(self, message: Message) -> RanShard:
        """Do what a worker does with a message."""
        request, task_id = message
        return self.runner.run(request, TaskContext(task_id=task_id, priority="bulk"))

    def finish(self, job_id: str, rounds: int = 40) -> BatchStatus:
        """Conduct and work until the job has ended."""
        for _ in range(rounds):
            self.round()
            for message in self.messages():
                self.work(message)
            if (status := self.jobs.status(job_id)).ended:
                return status
        raise AssertionError(f"it did not end: {status}")

    def result(self, name: str = "result.txt") -> list[str]:
        return (self.folder / name).read_text().splitlines()

    def close(self) -> None:
        self.scheduler.close()
        self.redis.delete(LIST)
        self.redis.close()
        self.client.close()
        self.blobs.close()
        self.database.close()


@pytest.fixture(scope="session")
def batch_database(postgres: RunningServer) -> str:
    name = f"batch_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(postgres.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    url = f"{postgres.url.rpartition('/')[0]}/{name}"
    migrate(url)
    return url


@pytest.fixture
def clean_database(batch_database: str) -> str:
    connection = psycopg2.connect(batch_database)
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM batch_jobs")
    connection.close()
    return batch_database


@pytest.fixture
def bench(clean_database: str, valkey: RunningServer, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(clean_database, valkey, tmp_path)
    yield made
    made.close()


def fields(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line.partition(", {")[2].join(("{", "")))
    return found
