"""Galleries whose files live behind fsspec, read by machines through copies of their own."""

import threading
import uuid
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from database.pool import Database
from index_store.erasure import Eraser
from index_store.gallery import GallerySpec
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_objects import SegmentObjects
from index_store.selection import Selection
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings
from tests.waiting import wait_for

NOW = timedelta(0)
POLICY = SealingPolicy(idle=NOW, purge_after=NOW, grace=NOW)
ROWS = random_embeddings(100, 16)


def machine(database: Database, url: str, copies: Path) -> Maintenance:
    files = SegmentObjects(url, copies)
    return Maintenance(
        store=GalleryStore(database, files),
        sealer=Sealer(database=database, files=files, policy=POLICY),
        collector=GarbageCollector(database=database, files=files, policy=POLICY),
    )


def sealed_by_one(
    database: Database, key: str, tmp_path: Path
) -> tuple[Maintenance, Maintenance, tuple[int, ...]]:
    """Two machines of one object store, the first of which has sealed a gallery of `ROWS`; their ids."""
    url = f"memory://{key}"
    one, two = machine(database, url, tmp_path / "one"), machine(database, url, tmp_path / "two")
    ids = one.store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 100).ids
    one.sealer.run(key)
    return one, two, ids


def test_segments_in_an_object_store_are_read_through_checked_copies(
    database: Database, key: str, tmp_path: Path
) -> None:
    _one, two, ids = sealed_by_one(database, key, tmp_path)
    assert [hits[0].id for hits in two.store.search(key, ROWS, top_k=1)] == list(ids)
    (copy,) = (tmp_path / "two").iterdir()
    copy.write_bytes(copy.read_bytes()[:-1])
    restarted = machine(database, f"memory://{key}", tmp_path / "two")
    assert [hits[0].id for hits in restarted.store.search(key, ROWS, top_k=1)] == list(ids)
    assert not restarted.store.describe(key).segments[0].damaged


def test_erased_vectors_leave_the_object_store_and_the_copies_of_every_machine(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.segment_folder._NEW_SECONDS", -1.0)
    one, two, ids = sealed_by_one(database, key, tmp_path)
    two.store.search(key, ROWS[:1])
    before = {path.name for path in (tmp_path / "two").iterdir()}
    eraser = Eraser(store=one.store, policy=POLICY)
    eraser.erase(key, Selection(ids=ids[:1]), "erasure")
    one.run_once()
    two.run_once()
    assert eraser.receipt(key, "erasure").purged_at is not None
    for folder in ("one", "two"):
        assert not before & {path.name for path in (tmp_path / folder).iterdir()}
    assert {name for name, _ in one.store.files.names()}.isdisjoint(before)


def test_maintenance_continues_when_one_gallery_fails(database: Database, key: str, tmp_path: Path) -> None:
    both = machine(database, f"memory://{uuid.uuid4()}", tmp_path / "one")
    for name in ("a", "b"):
        both.store.build(f"{key}-{name}", GallerySpec(dimension=16), ROWS, ["x"] * 100)
    with database.cursor() as cursor:  # a row that cannot be sealed: its embedding is too short
        cursor.execute(
            "UPDATE gallery_vectors v SET embedding = '' FROM galleries g"
            " WHERE g.id = v.gallery_id AND g.key = %s",
            (f"{key}-a",),
        )
    both.run_once()
    assert both.store.describe(f"{key}-b").segments[0].rows == 100
    assert both.store.describe(f"{key}-a").segments == ()
    both.store.delete(f"{key}-a")


def test_searches_go_on_while_the_object_store_is_away(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _one, two, ids = sealed_by_one(database, key, tmp_path)
    with monkeypatch.context() as away:
        away.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
        assert [hits[0].id for hits in two.store.search(key, ROWS, top_k=1)] == list(ids)
    assert not two.store.describe(key).segments[0].damaged
    assert list((tmp_path / "two").iterdir()) == []


def test_files_are_searched_again_once_the_object_store_is_back(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.reader._RETRY_SECONDS", 0.0)
    one, two, ids = sealed_by_one(database, key, tmp_path)
    one.store.remove(key, ids=ids[:10])
    with monkeypatch.context() as away:
        away.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
        assert len(two.store.search_one(key, ROWS[0], top_k=1000)) == 90
        one.store.remove(key, ids=ids[10:20])
        one.store.append(key, ROWS[:1], ["y"])
        assert len(two.store.search_one(key, ROWS[0], top_k=1000)) == 81
        assert [segment.rows for segment in two.store.view(key).unreached] == [100]
    before = {hit.id for hit in two.store.search_one(key, ROWS[0], top_k=1000)}
    wait_for(lambda: two.store.view(key).unreached == ())
    assert len(next(iter(two.store.view(key).segments.values())).ids) == 100
    assert {hit.id for hit in two.store.search_one(key, ROWS[0], top_k=1000)} == before
    assert two.store.view(key).live(ids) == set(ids[20:])
    assert not two.store.describe(key).segments[0].damaged


def test_a_file_that_cannot_be_reached_is_tried_once_in_a_while(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _one, two, _ = sealed_by_one(database, key, tmp_path)
    tried = Mock(side_effect=ConnectionError("the store is away"))
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", tried)
    for _ in range(5):
        assert two.store.search_one(key, ROWS[0])
    assert tried.call_count == 1


def test_searches_and_writes_go_on_while_a_file_is_waited_for(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.reader._RETRY_SECONDS", 0.0)
    _one, two, _ = sealed_by_one(database, key, tmp_path)
    waiting, back = threading.Event(), threading.Event()

    def slow(*arguments: object, **options: object) -> None:  # noqa: ARG001
        waiting.set()
        assert back.wait(60)
        raise ConnectionError("the store is away")

    with monkeypatch.context() as away:
        away.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
        two.store.search(key, ROWS)
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", slow)
    assert two.store.search_one(key, ROWS[0]), "the search that has the file tried again"
    assert waiting.wait(60)
    (late,) = two.store.append(key, ROWS[0], ["late"]).ids
    assert late in {hit.id for hit in two.store.search_one(key, ROWS[0])}
    back.set()


def test_files_are_tried_again_in_a_gallery_that_moves_all_the_time(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.reader._RETRY_SECONDS", 0.0)
    one, two, _ = sealed_by_one(database, key, tmp_path)
    with monkeypatch.context() as away:
        away.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
        two.store.search(key, ROWS)

    def moved_and_reached() -> bool:
        one.store.append(key, ROWS[:1], ["y"])
        return two.store.view(key).unreached == ()

    wait_for(moved_and_reached)


def test_a_file_that_is_found_damaged_after_an_outage_is_marked_and_not_tried_again(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.reader._RETRY_SECONDS", 0.0)
    one, two, ids = sealed_by_one(database, key, tmp_path)
    with monkeypatch.context() as away:
        away.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
        two.store.search(key, ROWS)
    one.store.files.delete(str(one.store.describe(key).segments[0].file))
    two.store.search(key, ROWS)
    wait_for(lambda: two.store.describe(key).segments[0].damaged)
    wait_for(lambda: two.store.view(key).unreached == ())
    assert [hits[0].id for hits in two.store.search(key, ROWS, top_k=1)] == list(ids)


def test_a_gallery_whose_rows_were_all_removed_is_searched_without_its_file(
    database: Database, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = sealed_by_one(database, key, tmp_path)
    one.store.remove(key, labels=["x"])
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", _away)
    assert two.store.search_one(key, ROWS[0]) == ()


def _away(*arguments: object, **options: object) -> None:  # noqa: ARG001
    raise ConnectionError("the store is away")
