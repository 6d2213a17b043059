"""Eight processes append, remove and search one gallery, while a ninth seals it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from database.migration import migrate
from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.acceptance.index_store.gallery_user import DIMENSION
from tests.conftest import RunningServer

PROCESSES = 8
ROUNDS = 12
KEY = "shared"
POLICY = SealingPolicy(delta_rows=200, idle=timedelta(seconds=0.2), fan_in=3, grace=timedelta(seconds=1))


class User:
    """A process of its own with a store of its own."""

    def __init__(self, url: str, segments: Path, number: int) -> None:
        command = [sys.executable, "-m", "tests.acceptance.index_store.gallery_user"]
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [*command, url, str(segments), KEY, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **command: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            print(json.dumps(command), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture
def store(postgres: RunningServer, tmp_path: Path) -> Iterator[GalleryStore]:
    migrate(postgres.url)
    database = Database(postgres.url)
    store = GalleryStore(database, SegmentFolder(tmp_path / "segments"))
    store.create(KEY, GallerySpec(dimension=DIMENSION))
    yield store
    store.delete(KEY)
    database.close()


@pytest.fixture
def users(postgres: RunningServer, tmp_path: Path) -> Iterator[list[User]]:
    users = [User(postgres.url, tmp_path / "segments", number) for number in range(PROCESSES)]
    yield users
    for user in users:
        user.close()


@pytest.fixture
def maintained(store: GalleryStore) -> Iterator[None]:
    """Seals and collects in the background."""
    sealer = Sealer(database=store.database, files=store.files, policy=POLICY)
    collector = GarbageCollector(database=store.database, files=store.files, policy=POLICY)
    stop = threading.Event()
    maintenance = Maintenance(store=store, sealer=sealer, collector=collector)
    thread = threading.Thread(target=maintenance.run, args=(stop, 0.05))
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("maintained")
def test_eight_processes_see_each_others_writes_at_once(store: GalleryStore, users: list[User]) -> None:
    def appends_removes_and_is_checked(number: int) -> tuple[list[int], list[int]]:
        """Everything that this user wrote; its neighbour has to see each write right after it returned."""
        user, neighbour = users[number], users[(number + 1) % PROCESSES]
        kept: list[int] = []
        gone: list[int] = []
        for step in range(ROUNDS):
            seed = 1000 * number + step
            ids = user.ask(do="append", seed=seed, count=5)
            found = neighbour.ask(do="search", seed=seed, count=5)
            assert [hits[0] for hits in found] == ids
            removed = user.ask(do="remove", ids=ids[:2])
            assert removed == ids[:2]
            found = neighbour.ask(do="search", seed=seed, count=5)
            assert not {hit for hits in found for hit in hits} & set(removed)
            assert [hits[0] for hits in found[2:]] == ids[2:]
            kept += ids[2:]
            gone += removed
        return kept, gone

    with ThreadPoolExecutor(PROCESSES) as pool:
        written = [
            future.result()
            for future in [pool.submit(appends_removes_and_is_checked, number) for number in range(PROCESSES)]
        ]
    kept = [number for ids, _ in written for number in ids]
    gone = [number for _, ids in written for number in ids]
    assert len(set(kept + gone)) == len(kept + gone) == 5 * ROUNDS * PROCESSES
    assert store.view(KEY).live(kept + gone) == set(kept)
    assert store.gallery(KEY).live == len(kept)
    assert store.verify(KEY).problems == ()
    assert store.describe(KEY).segments
