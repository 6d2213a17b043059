"""Maintenance that continues after failures: lost locks, lost folders, galleries and files that fail."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from database.locks import gallery_lock
from database.migration import migrate
from database.pool import Database
from index_store.erasure import Eraser
from index_store.gallery import GallerySpec
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance, repeat
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.selection import Selection
from index_store.store import GalleryStore
from paddlewheel.errors import DatabaseUnavailable, SegmentStoreUnavailable
from tests.embeddings import random_embeddings

NOW = timedelta(0)
POLICY = SealingPolicy(delta_rows=64, idle=NOW, purge_after=NOW, grace=NOW, lost_after=NOW)
SPEC = GallerySpec(dimension=16)
ROWS = random_embeddings(100, 16)

_END_HOLDER = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
WHERE locktype = 'advisory' AND classid::bigint = %s AND objid::bigint = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def maintenance_of(store: GalleryStore, **changes: Any) -> Maintenance:
    policy = replace(POLICY, **changes)
    return Maintenance(
        store=store,
        sealer=Sealer(database=store.database, files=store.files, policy=policy),
        collector=GarbageCollector(database=store.database, files=store.files, policy=policy),
    )


@pytest.fixture
def maintenance(empty_database: Callable[[], str], folder: Path) -> Iterator[Maintenance]:
    """In a database of its own, because maintenance is of all galleries."""
    url = empty_database()
    migrate(url)
    database = Database(url)
    yield maintenance_of(GalleryStore(database, SegmentFolder(folder)))
    database.close()


@pytest.fixture
def losing_the_lock(database_url: str, store: GalleryStore, key: str) -> Callable[[], None]:
    """Ends the connection that has the gallery's lock, as a restart would; then another collects."""

    def lose() -> None:
        number = gallery_lock(store.gallery(key).id)
        connection = psycopg2.connect(database_url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_END_HOLDER, (number >> 32, number & 0xFFFFFFFF))
            assert cursor.fetchall() == [(True,)]
        connection.close()
        other = Database(database_url)
        collector = GarbageCollector(database=other, files=store.files, policy=POLICY)
        assert len(collector.run().abandoned) >= 1
        other.close()

    return lose


@pytest.mark.parametrize("at", ["build", "write", "publish"])
def test_a_sealer_that_lost_its_lock_publishes_nothing(
    store: GalleryStore, key: str, folder: Path, losing_the_lock: Callable[[], None], at: str
) -> None:
    ids = store.build(key, SPEC, ROWS, ["x"] * 100).ids

    def lose(step: str) -> None:
        if step == at:
            losing_the_lock()

    sealer = maintenance_of(store).sealer
    with pytest.raises(DatabaseUnavailable):
        replace(sealer, on_step=lose).run(key)
    assert list(folder.iterdir()) == []
    assert [sealed.rows for sealed in sealer.run(key) or ()] == [100]
    assert [hits[0].id for hits in store.search(key, ROWS, top_k=1)] == list(ids)


class FolderThatWaits(SegmentFolder):
    """Lets something else happen just before a file gets its name."""

    def __init__(self, folder: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self._meanwhile = meanwhile

    def publish(self, name: str) -> None:
        self._meanwhile()
        self.scratch(name).touch()  # the collector of the same machine has deleted it
        super().publish(name)


def test_a_file_published_after_it_was_collected_goes_with_the_next_round(
    store: GalleryStore, key: str, folder: Path, losing_the_lock: Callable[[], None]
) -> None:
    ids = store.build(key, SPEC, ROWS, ["Ada"] * 100).ids
    eraser = Eraser(store=store, policy=POLICY)

    def erase_and_lose() -> None:
        eraser.erase(key, Selection(ids=ids[:1]), "erasure")
        losing_the_lock()

    slow = FolderThatWaits(folder, erase_and_lose)
    with pytest.raises(DatabaseUnavailable):
        replace(maintenance_of(store).sealer, files=slow).run(key)
    (left,) = folder.iterdir()
    before = eraser.receipt(key, "erasure")
    assert [f"{segment}.segment" for segment, _ in before.segments] == [left.name]
    collected = maintenance_of(store).collector.run()
    assert left.stem in collected.abandoned
    assert not left.exists()
    after = eraser.receipt(key, "erasure")
    assert before.purged_at is not None
    assert after.purged_at is not None
    assert after.purged_at > before.purged_at


def test_a_folder_that_is_deleted_under_maintenance_is_filled_again(
    maintenance: Maintenance, folder: Path
) -> None:
    store = maintenance.store
    ids = store.build("a", SPEC, ROWS, ["x"] * 100).ids
    maintenance.run_once()
    shutil.rmtree(folder)
    assert maintenance.run_once().failures == ()
    fresh = GalleryStore(store.database, SegmentFolder(folder))
    assert [hits[0].id for hits in fresh.search("a", ROWS, top_k=1)] == list(ids)
    shutil.rmtree(folder)
    assert [sealed.reason for sealed in maintenance.run_once().sealed] == ["damage"]
    again = GalleryStore(store.database, SegmentFolder(folder))
    assert [hits[0].id for hits in again.search("a", ROWS, top_k=1)] == list(ids)
    assert [segment.damaged for segment in again.describe("a").segments] == [False]


def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(
    maintenance: Maintenance, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b"):
        maintenance.store.build(key, SPEC, ROWS, ["x"] * 100)
    maintenance.run_once()
    (kept,) = (segment.file for segment in maintenance.store.describe("a").segments)
    for key in ("a", "b"):
        maintenance.store.delete(key)
    scratch = folder / "00000000-0000-4000-8000-000000000000.segment.tmp"
    scratch.touch()
    delete = SegmentFolder.delete

    def refuse(files: SegmentFolder, name: str) -> None:
        if name == kept:
            raise SegmentStoreUnavailable("It is locked.")
        delete(files, name)

    with monkeypatch.context() as locked:
        locked.setattr(SegmentFolder, "delete", refuse)
        done = maintenance.run_once()
    assert len(done.collected.dropped) == 1
    assert done.collected.stray == (scratch.name,)
    assert len(done.failures) == 1
    assert "It is locked." in done.failures[0]
    assert [path.name for path in folder.iterdir()] == [kept]
    assert maintenance.run_once().failures == ()
    assert list(folder.iterdir()) == []


def test_a_gallery_that_takes_all_memory_does_not_keep_the_others(
    maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b"):
        maintenance.store.build(key, SPEC, ROWS, [key] * 100)
    run = Sealer.run

    def fail(sealer: Sealer, key: str, **options: Any) -> Any:
        if key == "a":
            raise MemoryError
        return run(sealer, key, **options)

    monkeypatch.setattr(Sealer, "run", fail)
    done = maintenance.run_once()
    assert [sealed.rows for sealed in done.sealed] == [100]
    assert done.failures == ("The gallery 'a' could not be sealed: MemoryError()",)


def test_rounds_go_on_after_any_error() -> None:
    stop = threading.Event()
    tries: list[int] = []

    def fail() -> bool:
        tries.append(1)
        if len(tries) == 3:
            stop.set()
        raise FileNotFoundError

    repeat(fail, stop, 0)
    assert len(tries) == 3


def test_a_busy_gallery_does_not_keep_the_others_waiting(maintenance: Maintenance) -> None:
    store = maintenance.store
    store.build("a", SPEC, ROWS[:1], ["x"])
    store.build("b", SPEC, ROWS, ["x"] * 100)

    def append(step: str) -> None:
        if step == "announce":
            store.append("a", ROWS[:1], ["x"])

    done = replace(maintenance, sealer=replace(maintenance.sealer, on_step=append)).run_once()
    assert done.unfinished
    assert [segment.rows for segment in store.describe("b").segments] == [100]
    while (done := maintenance.run_once()).unfinished:
        pass
    assert store.describe("a").unsealed == 0


def test_many_waiting_rows_become_segments_of_a_bounded_size(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    ids: list[int] = []
    for size in (30, 30, 30, 150, 10, 90, 20):
        ids += store.append(key, random_embeddings(size, 16, seed=size), ["x"] * size).ids
    store.remove(key, ids=ids[:5])
    sealer = maintenance_of(store, max_rows=100, fan_in=100, idle=timedelta(days=1)).sealer
    assert [sealed.rows for sealed in sealer.run(key) or ()] == [85, 150, 100]
    assert store.describe(key).unsealed == 20
    store.append(key, ROWS[:90], ["x"] * 90)
    assert [sealed.rows for sealed in sealer.compact(key) or ()] == [20, 85, 150, 100, 90]
    assert [segment.rows for segment in store.describe(key).segments] == [85, 150, 100, 20, 90]
    assert store.verify(key).problems == ()


def test_an_erasure_is_over_when_the_receipt_says_that_it_is(store: GalleryStore, key: str) -> None:
    policy = SealingPolicy(idle=NOW, grace=NOW)
    maintained = maintenance_of(store, purge_after=policy.purge_after)
    eraser = Eraser(store=store, policy=policy)
    ids = store.build(key, SPEC, ROWS, ["x"] * 100).ids
    maintained.sealer.run(key)
    eraser.erase(key, Selection(ids=ids[:1]), "erasure")
    with store.database.cursor() as cursor:  # as if it had been so long ago
        for statement in (
            "UPDATE gallery_tombstones SET removed_at = removed_at - %s WHERE gallery_id = %s",
            "UPDATE gallery_operations SET created_at = created_at - %s WHERE gallery_id = %s",
        ):
            cursor.execute(statement, (policy.purge_begins, store.gallery(key).id))
    maintained.sealer.run(key)
    maintained.collector.run()
    receipt = eraser.receipt(key, "erasure")
    assert receipt.purged_at is not None
    assert receipt.removed_at + policy.purge_begins <= receipt.purged_at <= receipt.purge_by
