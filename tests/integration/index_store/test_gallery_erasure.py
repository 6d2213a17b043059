"""Erasure: gone from Postgres and from every search at once, from the files in a stated time."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from database.pool import Database
from index_store.erasure import MAX_SEARCHED, Eraser
from index_store.gallery import GallerySpec, Removal, SearchHit
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.selection import Selection
from index_store.store import GalleryStore
from index_store.view import empty_view
from paddlewheel.errors import InternalError, OperationNotFound
from tests.embeddings import random_embeddings

NOW = timedelta(0)
POLICY = SealingPolicy(delta_rows=64, idle=NOW, purge_after=NOW, grace=NOW)
SPEC = GallerySpec(dimension=16)
ROWS = random_embeddings(100, 16)


@pytest.fixture
def eraser(store: GalleryStore) -> Eraser:
    return Eraser(store=store, policy=POLICY)


@pytest.fixture
def sealer(store: GalleryStore) -> Sealer:
    return Sealer(database=store.database, files=store.files, policy=POLICY)


@pytest.fixture
def collector(store: GalleryStore) -> GarbageCollector:
    return GarbageCollector(database=store.database, files=store.files, policy=POLICY)


def test_erasing_deletes_the_row_at_once_and_a_search_for_it_is_in_vain(
    store: GalleryStore, eraser: Eraser, key: str, database: Database
) -> None:
    ids = store.build(key, SPEC, ROWS, ["person"] * 100, metadata=[{"name": "x"}] * 100).ids
    receipt = eraser.erase(key, Selection(ids=ids[:3]), "erasure-1")
    assert receipt.ids == ids[:3]
    assert receipt.verified_at is not None
    assert receipt.removed_at <= receipt.verified_at
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM gallery_vectors WHERE id = ANY(%s)", (list(ids[:3]),))
        assert cursor.fetchone() == (0,)
    assert not set(ids[:3]) & {hit.id for hits in store.search(key, ROWS[:3], top_k=100) for hit in hits}


def test_the_receipt_names_the_files_and_says_when_the_last_was_purged(
    store: GalleryStore, eraser: Eraser, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    ids = store.build(key, SPEC, ROWS, ["person"] * 100).ids
    sealer.run(key)
    (file,) = folder.iterdir()
    before = eraser.erase(key, Selection(labels=["nobody"]), "nothing")
    assert (before.ids, before.segments) == ((), ())
    receipt = eraser.erase(key, Selection(ids=ids[:1]), "erasure-1")
    assert [f"{segment}.segment" for segment, _ in receipt.segments] == [file.name]
    assert receipt.purged_at is None
    assert receipt.purge_by == receipt.removed_at + POLICY.purge_after + POLICY.grace
    sealer.run(key)
    assert eraser.receipt(key, "erasure-1").purged_at is None
    collector.run()
    purged = eraser.receipt(key, "erasure-1")
    assert purged.purged_at is not None
    assert purged.purged_at >= receipt.removed_at
    assert not file.exists()
    assert ROWS[0].astype("<f2").tobytes() not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_file_that_is_being_built_during_the_erasure_is_in_the_receipt(
    store: GalleryStore, eraser: Eraser, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    ids = store.build(key, SPEC, ROWS, ["person"] * 100).ids

    def erase(step: str) -> None:
        if step == "build":
            eraser.erase(key, Selection(ids=ids[:1]), "erasure-1")

    patient = replace(POLICY, purge_after=timedelta(days=1))
    replace(sealer, on_step=erase, policy=patient).run(key)
    receipt = eraser.receipt(key, "erasure-1")
    live = {f"{segment}.segment" for segment, _ in receipt.segments}
    assert live == {path.name for path in folder.iterdir()}
    assert receipt.purged_at is None
    sealer.run(key)
    collector.run()
    assert eraser.receipt(key, "erasure-1").purged_at is not None


def test_an_erasure_can_be_repeated_and_keeps_its_receipt(
    store: GalleryStore, eraser: Eraser, key: str
) -> None:
    store.build(key, SPEC, ROWS, ["person"] * 100)
    first = eraser.erase(key, Selection(labels=["person"]), "erasure-1")
    later = store.append(key, ROWS[:7], ["person"] * 7).ids
    again = eraser.erase(key, Selection(labels=["person"]), "erasure-1")
    assert len(first.ids) == 100
    assert again == first
    assert len(store.get(key, later)) == 7


def test_the_receipt_says_how_many_embeddings_were_searched_for(
    store: GalleryStore, eraser: Eraser, key: str
) -> None:
    count = MAX_SEARCHED + 44
    ids = store.build(key, SPEC, random_embeddings(count, 16), ["person"] * count).ids
    assert eraser.erase(key, Selection(labels=["nobody"]), "nothing").searched == 0
    assert eraser.erase(key, Selection(ids=ids[:3]), "few").searched == 3
    many = eraser.erase(key, Selection(labels=["person"]), "many")
    assert (len(many.ids), many.searched) == (count - 3, MAX_SEARCHED)
    store.remove(key, ids=[], operation_id="removed only")
    unverified = eraser.receipt(key, "removed only")
    assert (unverified.verified_at, unverified.searched) == (None, None)


def test_a_repeat_after_a_death_before_the_search_claims_no_search(
    store: GalleryStore, eraser: Eraser, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, ROWS, ["person"] * 100)
    with monkeypatch.context() as dying:
        dying.setattr(store, "search", die)
        with pytest.raises(Death):
            eraser.erase(key, Selection(labels=["person"]), "erasure-1")
    assert eraser.receipt(key, "erasure-1").verified_at is None
    store.append(key, ROWS[:7], ["person"] * 7)
    with monkeypatch.context() as searching:
        searching.setattr(store, "search", die)
        repeated = eraser.erase(key, Selection(labels=["person"]), "erasure-1")
    assert (len(repeated.ids), repeated.searched) == (100, 0)
    assert repeated.verified_at is not None


def test_there_is_no_receipt_for_what_was_not_a_removal(
    store: GalleryStore, eraser: Eraser, key: str
) -> None:
    store.build(key, SPEC, ROWS, ["person"] * 100, operation_id="build")
    for operation_id in ("build", "never"):
        with pytest.raises(OperationNotFound):
            eraser.receipt(key, operation_id)


def test_the_negative_search_can_fail(
    store: GalleryStore, eraser: Eraser, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store.build(key, SPEC, ROWS, ["person"] * 100).ids
    stale = ((SearchHit(ids[0], "person", 1.0),),)
    monkeypatch.setattr(store, "search", lambda *_, **__: stale)
    with pytest.raises(InternalError, match=str(ids[0])):
        eraser.erase(key, Selection(ids=ids[:1]), "erasure-1")
    assert eraser.receipt(key, "erasure-1").verified_at is None


def test_the_negative_look_at_what_searches_hold_can_fail(
    store: GalleryStore, eraser: Eraser, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, ROWS, ["person"] * 100)
    stale = store.view(key)
    monkeypatch.setattr(store, "view", lambda key: stale)  # noqa: ARG005
    with pytest.raises(InternalError):
        eraser.erase(key, Selection(labels=["person"]), "erasure-1")
    assert eraser.receipt(key, "erasure-1").verified_at is None


def test_the_negative_look_at_the_rows_can_fail(
    store: GalleryStore, eraser: Eraser, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store.build(key, SPEC, ROWS, ["person"] * 100).ids
    monkeypatch.setattr(store, "view", lambda key: empty_view(store.gallery(key)))
    monkeypatch.setattr(store, "search", lambda *_, **__: ())
    kept = Removal(operation_id="erasure-1", generation=2, ids=ids[:1])
    monkeypatch.setattr(store, "remove", lambda *_, **__: kept)
    with pytest.raises(InternalError, match=str(ids[0])):
        eraser.erase(key, Selection(ids=ids[:1]), "erasure-1")


class Death(BaseException):
    """The process ends here."""


def die(*_: object, **__: object) -> NoReturn:
    raise Death
