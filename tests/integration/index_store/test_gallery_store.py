"""GalleryStore against a real Postgres: what each method does, and what it refuses."""

import os
import threading
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from database.pool import Database
from index_store.erasure import Eraser
from index_store.gallery import GallerySpec, IndexType, Level, Metric
from index_store.planning import SealingPolicy
from index_store.rows import copy_out
from index_store.sealing import Sealer
from index_store.segment_file import SegmentFile
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from paddlewheel.errors import (
    DimensionMismatch,
    GalleryExists,
    GalleryNotFound,
    InvalidRequest,
    ModelMismatch,
    OperationMismatch,
    OperationNotFound,
    VectorInvalid,
)
from tests.embeddings import people, random_embeddings

SPEC = GallerySpec(dimension=16)
VECTORS = random_embeddings(20, 16)
LABELS = [f"label {number}" for number in range(20)]


def test_an_appended_vector_is_found_with_its_label(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    appended = store.append(key, VECTORS, LABELS)
    for row, hits in enumerate(store.search(key, VECTORS, top_k=3)):
        assert hits[0].id == appended.ids[row]
        assert hits[0].label == LABELS[row]
        assert hits[0].score == pytest.approx(1, abs=1e-3)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_build_makes_a_gallery_with_its_first_vectors_at_once(store: GalleryStore, key: str) -> None:
    first = store.build(key, SPEC, VECTORS, LABELS, operation_id="first")
    again = store.build(key, SPEC, VECTORS, LABELS, operation_id="first")
    assert (again.ids, again.repeated) == (first.ids, True)
    with pytest.raises(GalleryExists):
        store.build(key, SPEC, VECTORS, LABELS)
    assert store.gallery(key).live == 20


def test_a_refused_build_leaves_no_gallery(store: GalleryStore, key: str) -> None:
    with pytest.raises(VectorInvalid):
        store.build(key, SPEC, np.zeros((1, 16)), ["zero"])
    with pytest.raises(GalleryNotFound):
        store.gallery(key)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize("index_type", ["auto", "Flat", "IVF", "HNSW32"])
def test_empty_and_single_vector_galleries_work_in_every_type(
    store: GalleryStore, key: str, index_type: IndexType, metric: Metric, sealed: bool
) -> None:
    def rows_in_files() -> int:
        """After everything was written to files, where the gallery is to be searched in those."""
        if sealed:
            store.compact(key)
        return sum(segment.rows for segment in store.describe(key).segments)

    store.create(key, GallerySpec(dimension=16, metric=metric, index_type=index_type))
    assert rows_in_files() == 0
    assert store.search(key, VECTORS[:2]) == ((), ())
    (vector_id,) = store.append(key, VECTORS[:1], LABELS[:1]).ids
    assert rows_in_files() == int(sealed)
    (hit,) = store.search_one(key, VECTORS[0])
    assert (hit.id, hit.label) == (vector_id, LABELS[0])
    store.remove(key, ids=[vector_id])
    assert store.search_one(key, VECTORS[0]) == ()
    assert rows_in_files() == 0
    assert store.search_one(key, VECTORS[0]) == ()


def test_the_threshold_holds_for_every_hit_in_the_right_direction(store: GalleryStore, key: str) -> None:
    rows = np.eye(16, dtype=np.float32)[[0, 0, 1]] + 0.1
    directions: tuple[tuple[Metric, float], ...] = (("IP", 1.0), ("L2", 0.5))
    for metric, threshold in directions:
        name = f"{key}-{metric}"
        store.create(name, GallerySpec(dimension=16, metric=metric))
        near, twin, far = store.append(name, rows, ["near", "twin", "far"]).ids
        hits = store.search_one(name, rows[0], threshold=threshold)
        assert {hit.id for hit in hits} == {near, twin}
        assert far in {hit.id for hit in store.search_one(name, rows[0])}
        for level in get_args(Level):
            with pytest.raises(InvalidRequest, match="not a number"):
                store.search_one(name, rows[0], threshold=float("nan"), level=level)


def test_the_best_hit_of_l2_has_distance_zero(store: GalleryStore, key: str) -> None:
    store.create(key, GallerySpec(dimension=16, metric="L2", precision="fp32"))
    store.append(key, VECTORS, LABELS)
    hits = store.search_one(key, VECTORS[3], threshold=0.4)
    assert hits[0].label == "label 3"
    assert hits[0].score == pytest.approx(0, abs=1e-5)


def test_label_level_results_name_each_label_once(store: GalleryStore, key: str) -> None:
    embeddings, labels = people(5, 40, 16)
    store.build(key, SPEC, embeddings, labels)
    hits = store.search_one(key, embeddings[0], top_k=5, level="label")
    assert sorted(hit.label for hit in hits) == sorted(set(labels))
    assert hits[0].label == labels[0]


def test_removal_by_id_label_and_external_id(store: GalleryStore, key: str) -> None:
    external = [f"photo-{number // 2}" for number in range(20)]
    ids = store.build(key, SPEC, VECTORS, LABELS, external_ids=external).ids
    assert store.remove(key, ids=[ids[0], 10**15]).ids == (ids[0],)
    assert store.remove(key, labels=["label 5", "nobody"]).ids == (ids[5],)
    assert store.remove(key, external_ids=["photo-9"]).ids == (ids[18], ids[19])
    found = {hit.id for hits in store.search(key, VECTORS, top_k=20) for hit in hits}
    assert found == set(ids) - {ids[0], ids[5], ids[18], ids[19]}
    assert store.gallery(key).live == 16


def test_what_postgres_cannot_hold_is_not_found(store: GalleryStore, key: str) -> None:
    ids = store.build(key, SPEC, VECTORS, LABELS, external_ids=LABELS).ids
    for text in ("a\0b", "\ud83d"):
        assert store.remove(key, labels=[text]).ids == ()
        assert store.remove(key, external_ids=[text]).ids == ()
        assert store.find_external(key, [text, "label 1"]) == (("label 1", "label 1"),)
        calls = (store.gallery, store.describe, store.delete, store.view)
        for call in (
            *calls,
            lambda text: store.search(text, VECTORS),
            lambda text: store.append(text, [], []),
            store.verify,
        ):
            with pytest.raises(GalleryNotFound):
                call(text)
        with pytest.raises(InvalidRequest, match="without a NUL"):
            store.append(key, VECTORS, LABELS, operation_id=text)
        with pytest.raises(InvalidRequest, match="follows a gallery's key"):
            store.list_galleries(after=text)
        with pytest.raises(OperationNotFound):
            Eraser(store=store, policy=SealingPolicy()).receipt(key, text)
    assert [record.id for record in store.get(key, [2**63, ids[2], -(2**63) - 1, ids[2]])] == [ids[2]]


def test_texts_and_metadata_come_back_as_they_were_given(store: GalleryStore, key: str) -> None:
    given = {"\\ud800": ["\\u0000", {"\U0001f600": "\\\\u0000"}], "é": None}
    store.build(key, SPEC, VECTORS[:1], ["\U0001f600\\u0000"], metadata=[given])
    (record,) = store.list_vectors(key)
    assert (record.label, record.metadata) == ("\U0001f600\\u0000", given)


def test_remove_wants_exactly_one_selection(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    with pytest.raises(InvalidRequest):
        store.remove(key)
    with pytest.raises(InvalidRequest):
        store.remove(key, ids=[1], labels=["a"])
    with pytest.raises(InvalidRequest):
        store.remove(key, labels="everyone")


def test_repeating_an_operation_id_returns_the_stored_result(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    first = store.append(key, VECTORS, LABELS, operation_id="a")
    again = store.append(key, VECTORS, LABELS, operation_id="a")
    assert (again.ids, again.generation, again.repeated) == (first.ids, first.generation, True)
    removed = store.remove(key, ids=first.ids[3:9:2], operation_id="r")
    repeated = store.remove(key, ids=first.ids[3:9:2], operation_id="r")
    assert (repeated.ids, repeated.repeated) == (removed.ids, True)
    assert store.gallery(key).live == 17


def test_an_operation_id_used_for_something_else_is_refused(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    store.append(key, VECTORS, LABELS, operation_id="a")
    with pytest.raises(OperationMismatch):
        store.append(key, VECTORS, LABELS[::-1], operation_id="a")
    with pytest.raises(OperationMismatch):
        store.remove(key, labels=["label 1"], operation_id="a")
    assert store.gallery(key).live == 20


def test_one_operation_id_sent_by_many_threads_is_done_once(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    with ThreadPoolExecutor(8) as pool:
        answers = [
            future.result()
            for future in [
                pool.submit(store.append, key, VECTORS, LABELS, operation_id="same") for _ in range(8)
            ]
        ]
    assert len({answer.ids for answer in answers}) == 1
    assert [answer.repeated for answer in answers].count(False) == 1
    assert store.gallery(key).live == 20


def test_ids_are_never_reused(store: GalleryStore, key: str) -> None:
    first = store.build(key, SPEC, VECTORS, LABELS).ids
    store.remove(key, ids=first[-5:])
    second = store.append(key, VECTORS[-5:], LABELS[-5:]).ids
    store.delete(key)
    third = store.build(key, SPEC, VECTORS, LABELS).ids
    assert min(second) > max(first)
    assert min(third) > max(second)


def test_a_write_is_seen_by_the_next_search_of_another_store(
    store: GalleryStore, key: str, database_url: str, tmp_path: Path
) -> None:
    other_database = Database(database_url)
    other = GalleryStore(other_database, SegmentFolder(tmp_path / "segments"))
    store.create(key, SPEC)
    for row in range(20):
        (vector_id,) = store.append(key, VECTORS[row], [LABELS[row]]).ids
        # The second one finds nothing new, so that the third scans before the database has answered.
        assert [other.search_one(key, VECTORS[row])[0].id for _ in range(3)] == [vector_id] * 3
    removed = store.remove(key, labels=["label 7"]).ids
    assert not set(removed) & {hit.id for hit in other.search_one(key, VECTORS[7], top_k=20)}
    other_database.close()


def test_details_bring_external_ids_and_metadata(store: GalleryStore, key: str) -> None:
    metadata = [{"camera": number, "name": "ünïcode \U0001f600"} for number in range(20)]
    store.build(key, SPEC, VECTORS, LABELS, external_ids=LABELS, metadata=metadata)
    plain = store.search_one(key, VECTORS[4])[0]
    hit = store.search_one(key, VECTORS[4], details=True)[0]
    assert (plain.external_id, plain.metadata) == (None, None)
    assert (hit.external_id, hit.metadata) == ("label 4", metadata[4])


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_get_and_pages_return_what_was_stored(store: GalleryStore, key: str, precision: str) -> None:
    spec = GallerySpec(dimension=16, precision=precision)  # type: ignore[arg-type]
    ids = store.build(key, spec, VECTORS, LABELS, metadata=[{"n": n} for n in range(20)]).ids
    record = store.get(key, [ids[2], 10**15])[0]
    assert (record.id, record.label, record.metadata) == (ids[2], "label 2", {"n": 2})
    np.testing.assert_allclose(record.embedding, VECTORS[2], atol=1e-3 if precision == "fp16" else 0)
    seen: list[int] = []
    while page := store.list_vectors(key, after=seen[-1] if seen else 0, limit=7):
        seen += [record.id for record in page]
    assert tuple(seen) == ids


def test_galleries_are_listed_in_pages(store: GalleryStore, key: str) -> None:
    keys = [f"{key}-{number}" for number in range(5)]
    for name in keys:
        store.create(name, SPEC)
    listed: list[str] = []
    while page := store.list_galleries(after=listed[-1] if listed else f"{key}-", limit=2):
        listed += [gallery.key for gallery in page if gallery.key.startswith(key)]
        if page[-1].key > keys[-1]:
            break
    assert listed == keys


def test_describe_counts_what_is_live_unsealed_and_removed(store: GalleryStore, key: str) -> None:
    ids = store.build(key, SPEC, VECTORS, LABELS).ids
    store.remove(key, ids=ids[:4])
    description = store.describe(key)
    assert description.gallery.live == 16
    assert (description.unsealed, description.tombstones, description.segments) == (16, 4, ())


def test_a_deleted_gallery_is_gone_and_its_key_is_free(store: GalleryStore, key: str) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    assert store.search_one(key, VECTORS[0])
    assert store.delete(key).vectors == 20
    for call in (store.gallery, store.describe, store.delete):
        with pytest.raises(GalleryNotFound):
            call(key)
    with pytest.raises(GalleryNotFound):
        store.search(key, VECTORS)
    store.create(key, GallerySpec(dimension=8))
    assert store.search_one(key, np.ones(8)) == ()


def test_wrong_vectors_are_refused_with_the_row_and_nothing_is_stored(store: GalleryStore, key: str) -> None:
    store.create(key, GallerySpec(dimension=16, model_fingerprint="face-1"))
    bad = VECTORS.copy()
    bad[7, 3] = np.nan
    zero = VECTORS.copy()
    zero[2] = 0
    for embeddings, error, row in ((bad, VectorInvalid, "row 7"), (zero, VectorInvalid, "row 2")):
        with pytest.raises(error, match=row):
            store.append(key, embeddings, LABELS)
    with pytest.raises(DimensionMismatch):
        store.append(key, VECTORS[:, :8], LABELS)
    with pytest.raises(ModelMismatch):
        store.append(key, VECTORS, LABELS, model_fingerprint="face-2")
    with pytest.raises(ModelMismatch):
        store.search(key, VECTORS, model_fingerprint="face-2")
    with pytest.raises(DimensionMismatch):
        store.search(key, VECTORS[:, :8])
    with pytest.raises(VectorInvalid):
        store.search(key, bad)
    assert store.gallery(key).live == 0
    assert store.append(key, VECTORS, LABELS, model_fingerprint="face-1").ids


def test_top_k_level_page_and_key_are_checked(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    for top_k in (0, 1001):
        with pytest.raises(InvalidRequest):
            store.search(key, VECTORS, top_k=top_k)
    with pytest.raises(InvalidRequest):
        store.search(key, VECTORS, level="face")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        store.list_vectors(key, limit=0)
    with pytest.raises(InvalidRequest):
        store.create("../escape", SPEC)


def test_appending_to_a_gallery_deleted_meanwhile_stores_nothing(
    store: GalleryStore, key: str, database: Database
) -> None:
    gallery = store.create(key, SPEC)
    store.delete(key)
    from index_store.operation_log import OperationLog
    from index_store.vectors import new_vectors

    vectors = new_vectors(SPEC, VECTORS, LABELS)
    with pytest.raises(GalleryNotFound):
        OperationLog(database).append(gallery, vectors, uuid.uuid4().hex)
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM gallery_vectors WHERE gallery_id = %s", (gallery.id,))
        assert cursor.fetchone() == (0,)


def test_one_build_sent_by_many_threads_is_done_once(store: GalleryStore, key: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(store.build, key, SPEC, VECTORS, LABELS, operation_id="same") for _ in range(8)]
        answers = [future.result() for future in sent]
    assert len({answer.ids for answer in answers}) == 1
    assert store.gallery(key).live == 20


def test_threads_share_a_store_and_open_each_file_once(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    Sealer(database=store.database, files=store.files).compact(key)
    opened: list[Path] = []

    def counted(path: Path) -> SegmentFile:
        opened.append(path)
        return SegmentFile(path)

    monkeypatch.setattr("index_store.reader.SegmentFile", counted)

    def write_and_read(number: int) -> None:
        row = random_embeddings(1, 16, seed=100 + number)
        (vector_id,) = store.append(key, row, ["thread"]).ids
        assert store.search_one(key, row[0])[0].id == vector_id

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(write_and_read, number) for number in range(80)]:
            future.result()
    assert store.view(key).gallery.live == 100
    assert len(opened) == 1


def test_a_forked_child_uses_the_store_of_its_parent_safely(store: GalleryStore, key: str) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    store.search(key, VECTORS)
    with warnings.catch_warnings():  # later Pythons warn of what is tested here
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        found = store.search_one(key, VECTORS[3])[0].label == "label 3"
        store.append(key, VECTORS[:1], ["of the child"])
        os._exit(7 if found else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert {hit.label for hit in store.search_one(key, VECTORS[0], top_k=2)} >= {"of the child"}
    assert store.append(key, VECTORS[:1], ["of the parent"]).ids


def test_a_child_that_is_forked_during_a_refresh_does_not_wait_for_it(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    store.search(key, VECTORS)
    reading, forked = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        reading.set()
        assert forked.wait(60)
        return copy_out(*arguments)

    monkeypatch.setattr("index_store.reader.copy_out", slow)
    store.append(key, VECTORS[:1], ["late"])
    with ThreadPoolExecutor(1) as pool:
        refresh = pool.submit(store.search, key, VECTORS[:1])
        assert reading.wait(60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                monkeypatch.undo()
                found = store.search_one(key, VECTORS[0], top_k=2)
                os._exit(7 if "late" in {hit.label for hit in found} else 1)
            finally:
                os._exit(1)
        forked.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert refresh.result()


def test_thirty_two_threads_write_search_and_seal_through_one_pool(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    sealer = Sealer(database=store.database, files=store.files, policy=SealingPolicy(delta_rows=50))
    barrier = threading.Barrier(32)

    def work(number: int) -> list[int]:
        barrier.wait(60)
        kept: list[int] = []
        for step in range(4):
            rows = random_embeddings(3, 16, seed=1000 + 10 * number + step)
            ids = store.append(key, rows, [f"thread {number}"] * 3).ids
            store.remove(key, ids=ids[:1])
            hits = store.search(key, rows, top_k=1)
            assert [found[0].id for found in hits[1:]] == list(ids[1:])
            assert hits[0][0].id != ids[0]
            kept += ids[1:]
            if number == 0:
                sealer.run(key)
        return kept

    with ThreadPoolExecutor(32) as pool:
        kept = [number for ids in pool.map(work, range(32)) for number in ids]
    assert store.view(key).live(kept) == set(kept)
    assert store.gallery(key).live == len(kept) == 256
    assert store.verify(key).problems == ()


def test_a_gallery_replaced_by_one_of_another_dimension_is_searched_as_it_is_now(
    store: GalleryStore, database: Database, folder: Path, key: str
) -> None:
    store.build(key, SPEC, VECTORS, LABELS)
    for _ in range(2):  # from the second search on, the scan begins before the database has answered
        store.search(key, VECTORS)
    other = GalleryStore(database, SegmentFolder(folder))
    other.delete(key)
    rows = random_embeddings(20, 8)
    ids = other.build(key, GallerySpec(dimension=8), rows, LABELS).ids
    assert store.search_one(key, rows[3])[0].id == ids[3]
    with pytest.raises(DimensionMismatch):
        store.search(key, VECTORS)


def test_a_backup_restored_under_a_running_store_is_noticed(
    store: GalleryStore, key: str, database: Database
) -> None:
    kept = store.build(key, SPEC, VECTORS[:10], LABELS[:10]).ids
    lost = store.append(key, VECTORS[10:], LABELS[10:])
    assert store.view(key).live(lost.ids) == set(lost.ids)
    with database.transaction() as cursor:  # what the tables would be after going back one operation
        cursor.execute("DELETE FROM gallery_vectors WHERE id = ANY(%s)", (list(lost.ids),))
        cursor.execute("DELETE FROM gallery_operations WHERE operation_id = %s", (lost.operation_id,))
        cursor.execute("UPDATE galleries SET generation = 1, live = 10 WHERE key = %s", (key,))
    assert store.view(key).live(kept + lost.ids) == set(kept)
    assert len(store.search_one(key, VECTORS[0], top_k=20)) == 10
