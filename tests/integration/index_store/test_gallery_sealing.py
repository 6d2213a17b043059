"""Sealing, compaction and garbage collection on real files and a real Postgres."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from database.locks import gallery_lock, try_lock
from database.pool import Database
from index_store.gallery import Appended, Gallery, GallerySpec, IndexType, Metric, Segment
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.segment_rows import find_segments
from index_store.store import GalleryStore
from paddlewheel.errors import GalleryNotFound, InternalError
from tests.embeddings import people, random_embeddings

NOW = timedelta(0)
EAGER = SealingPolicy(delta_rows=64, idle=NOW, fan_in=4, grace=NOW, lost_after=NOW)
SPEC = GallerySpec(dimension=16)


@pytest.fixture
def sealer(store: GalleryStore) -> Sealer:
    return Sealer(database=store.database, files=store.files, policy=EAGER)


@pytest.fixture
def collector(store: GalleryStore) -> GarbageCollector:
    return GarbageCollector(database=store.database, files=store.files, policy=EAGER)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize(
    ("index_type", "kind"), [("auto", "fast-scan"), ("Flat", "exact"), ("IVF", "ivf"), ("HNSW32", "hnsw")]
)
def test_every_index_type_builds_appends_and_removes(
    store: GalleryStore,
    sealer: Sealer,
    key: str,
    index_type: IndexType,
    kind: str,
    metric: Metric,
    precision: str,
) -> None:
    embeddings, labels = people(900, 5, 32)
    spec = GallerySpec(dimension=32, metric=metric, index_type=index_type, precision=precision)  # type: ignore[arg-type]
    ids = np.array(store.build(key, spec, embeddings, labels).ids)
    (sealed,) = sealer.run(key) or ()
    assert (sealed.kind, sealed.rows) == (kind, 4500)
    assert sealed.recall is not None
    assert sealed.recall >= 0.999
    probes = np.arange(0, 4500, 45)
    found = store.search(key, embeddings[probes], top_k=1)
    assert np.mean([hits[0].id == ids[row] for hits, row in zip(found, probes, strict=True)]) >= 0.99
    added = store.append(key, random_embeddings(50, 32, seed=9), ["later"] * 50).ids
    removed = store.remove(key, ids=[int(ids[row]) for row in probes] + list(added[:10])).ids
    hits = {hit.id for hits in store.search(key, embeddings[probes], top_k=10) for hit in hits}
    assert len(removed) == 110
    assert not hits & set(removed)
    sealer.compact(key)
    hits = {hit.id for hits in store.search(key, embeddings[probes], top_k=10) for hit in hits}
    assert hits
    assert not hits & set(removed)
    assert store.describe(key).tombstones == 0


def test_removed_vectors_never_crowd_out_live_ones(store: GalleryStore, sealer: Sealer, key: str) -> None:
    spec = GallerySpec(dimension=32)
    near, _ = people(1, 2000, 32, seed=1)
    far = random_embeddings(4000, 32, seed=2)
    ids = store.build(key, spec, np.concatenate([near, far]), ["near"] * 2000 + ["far"] * 4000).ids
    sealer.run(key)
    store.remove(key, ids=ids[:1999])
    hits = store.search_one(key, near[0], top_k=10)
    assert len(hits) == 10
    assert hits[0].id == ids[1999]


def test_appends_after_a_seal_are_searched_beside_the_file(
    store: GalleryStore, sealer: Sealer, key: str
) -> None:
    rows = random_embeddings(300, 16)
    store.create(key, SPEC)
    ids: list[int] = []
    for start in range(0, 300, 20):
        ids += store.append(key, rows[start : start + 20], ["x"] * 20).ids
        if start % 60 == 0:
            sealer.run(key)
    assert [hits[0].id for hits in store.search(key, rows, top_k=1)] == ids
    assert len(store.describe(key).segments) >= 2


def test_adjacent_segments_merge_in_tiers(store: GalleryStore, sealer: Sealer, key: str) -> None:
    store.create(key, SPEC)
    for number in range(10):
        store.append(key, random_embeddings(8, 16, seed=number), ["x"] * 8)
        sealer.run(key)
    segments = store.describe(key).segments
    assert len(segments) < 5
    assert [segment.low for segment in segments[1:]] == [segment.high for segment in segments[:-1]]
    assert sum(segment.rows for segment in segments) == 80


def test_a_share_of_tombstones_makes_a_segment_be_rewritten(
    store: GalleryStore, sealer: Sealer, key: str
) -> None:
    ids = store.build(key, SPEC, random_embeddings(100, 16), ["x"] * 100).ids
    sealer.run(key)
    store.remove(key, ids=ids[:19])
    assert sealer.run(key) == ()
    store.remove(key, ids=ids[19:20])
    (sealed,) = sealer.run(key) or ()
    assert (sealed.reason, sealed.rows) == ("tombstones", 80)
    assert store.describe(key).tombstones == 0


def test_the_purge_age_makes_a_segment_be_rewritten(store: GalleryStore, sealer: Sealer, key: str) -> None:
    ids = store.build(key, SPEC, random_embeddings(100, 16), ["x"] * 100).ids
    sealer.run(key)
    store.remove(key, ids=ids[:1])
    assert sealer.run(key) == ()
    purging = replace(sealer, policy=replace(EAGER, purge_after=NOW))
    (sealed,) = purging.run(key) or ()
    assert (sealed.reason, sealed.rows) == ("purge", 99)


def test_a_segment_of_which_everything_was_removed_has_no_file(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    store.build(key, SPEC, random_embeddings(100, 16), ["x"] * 100)
    sealer.run(key)
    store.remove(key, labels=["x"])
    sealer.run(key)
    collector.run()
    assert files_in(folder) == set()
    assert store.search_one(key, np.ones(16)) == ()
    (vector_id,) = store.append(key, np.ones(16), ["y"]).ids
    sealer.run(key)
    assert [hit.id for hit in store.search_one(key, np.ones(16))] == [vector_id]


def test_compaction_leaves_one_segment_without_removed_rows(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    rows = random_embeddings(90, 16)
    store.create(key, SPEC)
    ids: list[int] = []
    for start in range(0, 90, 30):
        ids += store.append(key, rows[start : start + 30], ["x"] * 30).ids
        sealer.run(key)
    store.remove(key, ids=ids[::10])
    sealer.compact(key)
    description = store.describe(key)
    assert [(segment.rows, segment.dead) for segment in description.segments] == [(81, 0)]
    collector.run()
    assert files_in(folder) == {description.segments[0].file}


def test_one_sealer_at_a_time_works_on_a_gallery(
    store: GalleryStore, sealer: Sealer, key: str, database: Database
) -> None:
    gallery = store.create(key, SPEC)
    store.append(key, random_embeddings(10, 16), ["x"] * 10)
    with try_lock(database, gallery_lock(gallery.id)) as held:
        assert held is not None
        assert sealer.run(key) is None
        assert sealer.compact(key) is None
    assert len(sealer.run(key) or ()) == 1


def test_writers_go_on_while_a_segment_is_built(store: GalleryStore, sealer: Sealer, key: str) -> None:
    rows = random_embeddings(60, 16)
    ids = list(store.build(key, SPEC, rows[:40], ["x"] * 40).ids)
    removed: list[int] = []

    def interfere(step: str) -> None:
        if step == "build":
            ids.extend(store.append(key, rows[40:], ["x"] * 20).ids)
            removed.extend(store.remove(key, ids=ids[:3]).ids)

    replace(sealer, on_step=interfere, policy=replace(EAGER, idle=timedelta(days=1), delta_rows=40)).run(key)
    found = {hit.id for hits in store.search(key, rows, top_k=60) for hit in hits}
    assert found == set(ids) - set(removed)
    assert store.describe(key).tombstones == 3
    sealer.compact(key)
    assert {hit.id for hits in store.search(key, rows, top_k=60) for hit in hits} == found


@pytest.mark.parametrize("step", ["announce", "read", "build", "write", "publish", "commit", "done"])
def test_a_sealer_that_fails_at_any_step_leaves_nothing_behind(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path, step: str
) -> None:
    rows = random_embeddings(50, 16)
    ids = store.build(key, SPEC, rows, ["x"] * 50).ids

    def fail(at: str) -> None:
        if at == step:
            raise RuntimeError(at)

    with pytest.raises(RuntimeError):
        replace(sealer, on_step=fail).run(key)
    assert [hits[0].id for hits in store.search(key, rows, top_k=1)] == list(ids)
    collector.run()
    live = {segment.file for segment in store.describe(key).segments}
    assert files_in(folder) == live
    sealer.run(key)
    assert [hits[0].id for hits in store.search(key, rows, top_k=1)] == list(ids)


def test_files_go_while_a_reader_still_searches_them(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    rows = random_embeddings(200, 16)
    ids = store.build(key, SPEC, rows, ["x"] * 200).ids
    sealer.run(key)
    view = store.view(key)
    sealer.compact(key)
    collector.run()
    assert len(files_in(folder)) == 1
    assert [hits[0].id for hits in view.search(rows, 1, None, "vector")] == list(ids)


@pytest.mark.parametrize("damage", ["missing", "torn", "altered"])
def test_a_damaged_file_is_noticed_and_rebuilt_from_postgres(
    store: GalleryStore, sealer: Sealer, key: str, folder: Path, damage: str
) -> None:
    rows = random_embeddings(200, 16)
    ids = store.build(key, SPEC, rows, ["x"] * 200).ids
    store.remove(key, ids=ids[:2])
    sealer.run(key)
    (file,) = folder.iterdir()
    content = file.read_bytes()
    file.unlink()
    if damage == "torn":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "altered":
        file.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    fresh = GalleryStore(store.database, SegmentFolder(folder))
    assert [hits[0].id for hits in fresh.search(key, rows[2:], top_k=1)] == list(ids[2:])
    assert [segment.damaged for segment in store.describe(key).segments] == [True]
    (sealed,) = sealer.run(key) or ()
    assert (sealed.reason, sealed.rows) == ("damage", 198)
    again = GalleryStore(store.database, SegmentFolder(folder))
    assert [hits[0].id for hits in again.search(key, rows[2:], top_k=1)] == list(ids[2:])
    assert [segment.damaged for segment in store.describe(key).segments] == [False]


def test_deleting_a_gallery_frees_its_files(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    store.build(key, SPEC, random_embeddings(100, 16), ["x"] * 100)
    sealer.run(key)
    assert len(store.delete(key).segments) == 1
    collector.run()
    assert files_in(folder) == set()


def test_a_gallery_deleted_while_it_is_sealed_leaves_no_file(
    store: GalleryStore, sealer: Sealer, collector: GarbageCollector, key: str, folder: Path
) -> None:
    store.build(key, SPEC, random_embeddings(100, 16), ["x"] * 100)

    def delete(step: str) -> None:
        if step == "write":
            store.delete(key)

    with pytest.raises(GalleryNotFound):
        replace(sealer, on_step=delete).run(key)
    collector.run()
    assert files_in(folder) == set()


def test_searches_stay_right_while_a_sealer_works(store: GalleryStore, sealer: Sealer, key: str) -> None:
    rows = random_embeddings(400, 16)
    store.create(key, SPEC)
    stop = threading.Event()

    def seal() -> None:
        while not stop.is_set():
            sealer.run(key)

    thread = threading.Thread(target=seal)
    thread.start()
    try:
        ids: list[int] = []
        for start in range(0, 400, 10):
            ids += store.append(key, rows[start : start + 10], ["x"] * 10).ids
            assert [hits[0].id for hits in store.search(key, rows[: len(ids)], top_k=1)] == ids
    finally:
        stop.set()
        thread.join()


def test_an_append_while_the_sealer_looks_is_sealed_in_the_next_round(
    store: GalleryStore, sealer: Sealer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(key, SPEC)
    appended: list[Appended] = []

    def append_first(cursor: Any, gallery: Gallery, **options: bool) -> tuple[Segment, ...]:
        if not appended:
            appended.append(store.append(key, random_embeddings(10, 16), ["x"] * 10))
        return find_segments(cursor, gallery, **options)

    monkeypatch.setattr("index_store.sealing.find_segments", append_first)
    assert sealer.run(key) == ()
    assert [sealed.rows for sealed in sealer.run(key) or ()] == [10]


def test_a_description_is_of_one_moment(
    store: GalleryStore, sealer: Sealer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, random_embeddings(10, 16), ["x"] * 10)

    def seal_first(cursor: Any, gallery: Gallery, **options: bool) -> tuple[Segment, ...]:
        sealer.run(key)
        return find_segments(cursor, gallery, **options)

    monkeypatch.setattr("index_store.gallery_rows.find_segments", seal_first)
    found = store.describe(key)
    assert (found.unsealed, found.segments) == (10, ())
    found = store.describe(key)
    assert (found.unsealed, [segment.rows for segment in found.segments]) == (0, [10])


def test_a_statement_that_postgres_refuses_is_a_typed_error(database: Database) -> None:
    with pytest.raises(InternalError, match="division by zero"), database.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_files_that_no_row_names_are_reported_and_swept_only_on_request(
    collector: GarbageCollector, folder: Path
) -> None:
    (folder / "00000000-0000-4000-8000-000000000000.segment").write_bytes(b"of another time")
    assert collector.run().stray == ()
    assert collector.unknown_files() == ("00000000-0000-4000-8000-000000000000.segment",)
    assert collector.sweep_unknown() == collector.unknown_files() or files_in(folder) == set()
    assert files_in(folder) == set()


def test_removed_rows_leave_the_memory_of_readers_with_the_next_seal(
    store: GalleryStore, sealer: Sealer, key: str
) -> None:
    store.build(key, SPEC, random_embeddings(10, 16), ["x"] * 10)
    store.view(key)
    store.remove(key, labels=["x"])
    assert len(store.view(key).delta.rows) == 1
    (sealed,) = sealer.run(key) or ()
    assert (sealed.rows, sealed.kind) == (0, "empty")
    assert store.view(key).sources == ()
    assert store.describe(key).tombstones == 0
