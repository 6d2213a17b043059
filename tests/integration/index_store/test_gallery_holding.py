"""The galleries that a process releases: deleted ones, and those not searched for long."""

import gc
import time
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from database.pool import Database
from index_store.gallery import Deleted, GallerySpec
from index_store.operation_log import OperationLog
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from index_store.view import View
from paddlewheel.errors import GalleryNotFound, SegmentStoreUnavailable
from tests.embeddings import random_embeddings

SPEC = GallerySpec(dimension=16)
VECTORS = random_embeddings(20, 16)
LABELS = ["x"] * 20


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search looks for what need not be held."""
    monkeypatch.setattr("index_store.reader._SWEEP_SECONDS", 0.0)


def holding(store: GalleryStore, key: str) -> "weakref.ref[View]":
    """The view that the store has in memory."""
    return weakref.ref(store.view(key))


def held(view: "weakref.ref[View]") -> bool:
    gc.collect()
    return view() is not None


@pytest.mark.usefixtures("sweeping")
def test_a_gallery_that_another_process_deleted_is_let_go_of_by_a_search_of_another_gallery(
    database: Database, folder: Path, key: str
) -> None:
    store, other = (GalleryStore(database, SegmentFolder(folder)) for _ in range(2))
    for name in (f"{key}-a", f"{key}-b"):
        store.build(name, SPEC, VECTORS, LABELS)
        store.search(name, VECTORS)
    gone, kept = (holding(store, f"{key}-{name}") for name in "ab")
    other.delete(f"{key}-a")
    assert held(gone)
    store.search(f"{key}-b", VECTORS)
    assert not held(gone)
    assert held(kept)


@pytest.mark.usefixtures("sweeping")
def test_a_gallery_that_nobody_searches_is_let_go_of_and_can_be_searched_again(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (f"{key}-a", f"{key}-b"):
        store.build(name, SPEC, VECTORS, LABELS)
    unused = holding(store, f"{key}-a")
    store.search(f"{key}-b", VECTORS)
    assert held(unused)
    monkeypatch.setattr("index_store.reader._UNUSED_SECONDS", 0.0)
    store.search(f"{key}-b", VECTORS)
    assert not held(unused)
    assert len(store.search_one(f"{key}-a", VECTORS[0])) == 5


@pytest.mark.usefixtures("sweeping")
def test_the_gallery_that_is_searched_after_a_pause_is_kept(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    searched = holding(store, key)
    hours = time.monotonic() + 36_000
    monkeypatch.setattr("index_store.reader.time", Mock(monotonic=lambda: hours))
    store.search(key, VECTORS)
    assert held(searched)


def test_galleries_are_looked_after_only_once_in_a_while(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.reader._UNUSED_SECONDS", 0.0)
    for name in (f"{key}-a", f"{key}-b"):
        store.build(name, SPEC, VECTORS, LABELS)
    unused = holding(store, f"{key}-a")
    store.search(f"{key}-b", VECTORS)
    assert held(unused)


def test_a_search_during_the_deletion_leaves_nothing_in_memory(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    views = []
    delete = OperationLog.delete

    def searched_meanwhile(log: OperationLog, name: str) -> Deleted:
        views.append(holding(store, name))
        return delete(log, name)

    monkeypatch.setattr(OperationLog, "delete", searched_meanwhile)
    store.delete(key)
    assert [held(view) for view in views] == [False]
    with pytest.raises(GalleryNotFound):
        store.search(key, VECTORS)


def test_a_file_that_this_process_cannot_open_is_not_marked_as_damaged(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store.build(key, SPEC, VECTORS, LABELS).ids
    Sealer(database=store.database, files=store.files).compact(key)

    def refused(*arguments: Any, **options: Any) -> None:  # noqa: ARG001
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", refused)
        assert [hits[0].id for hits in store.search(key, VECTORS, top_k=1)] == list(ids)
        with pytest.raises(SegmentStoreUnavailable):
            store.verify(key)
    assert not store.describe(key).segments[0].damaged
    assert store.verify(key).problems == ()
