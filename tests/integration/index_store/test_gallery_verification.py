"""verify: silent while all is well, and it finds each kind of damage."""

import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.store import GalleryStore
from index_store.vectors import encode
from tests.embeddings import random_embeddings

SPEC = GallerySpec(dimension=16)
ROWS = random_embeddings(100, 16)


@pytest.fixture
def sealed(store: GalleryStore, key: str) -> Sealer:
    """A gallery of two segments, a delta and tombstones in each."""
    sealer = Sealer(database=store.database, files=store.files, policy=SealingPolicy(idle=timedelta(0)))
    store.create(key, SPEC)
    for start in range(0, 90, 30):
        ids = store.append(key, ROWS[start : start + 30], [f"l{start}"] * 30).ids
        store.remove(key, ids=ids[:2])
        if start < 60:
            sealer.run(key)
        store.remove(key, ids=ids[2:4])
    return sealer


def test_a_sound_gallery_has_no_problems(store: GalleryStore, sealed: Sealer, key: str) -> None:
    found = store.verify(key)
    assert (found.vectors, found.segments, found.problems) == (78, 2, ())
    assert store.verify(key) == found
    sealed.compact(key)
    assert store.verify(key).problems == ()


def test_an_altered_file_is_found_marked_and_rebuilt(
    store: GalleryStore, sealed: Sealer, key: str, folder: Path
) -> None:
    file = min(folder.iterdir())
    content = file.read_bytes()
    file.write_bytes(content[:200] + b"????" + content[204:])
    found = store.verify(key)
    assert [f"{segment}.segment" for segment in found.damaged] == [file.name]
    assert [segment.reason for segment in sealed.run(key) or ()] == ["damage", "seal"]
    assert store.verify(key).problems == ()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE galleries SET live = live + 1 WHERE key = %s", "counts"),
        (
            "DELETE FROM gallery_vectors WHERE id = (SELECT min(v.id) FROM gallery_vectors v "
            "JOIN galleries g ON g.id = v.gallery_id WHERE g.key = %s)",
            "do not hold the same",
        ),
        (
            "UPDATE gallery_vectors SET label = 'other' WHERE id = (SELECT min(v.id) FROM gallery_vectors v "
            "JOIN galleries g ON g.id = v.gallery_id WHERE g.key = %s)",
            "labels",
        ),
        (
            "DELETE FROM gallery_segments WHERE id = (SELECT s.id FROM gallery_segments s "
            "JOIN galleries g ON g.id = s.gallery_id WHERE g.key = %s ORDER BY s.low LIMIT 1)",
            "leave out",
        ),
        (
            "UPDATE gallery_segments SET file = NULL WHERE id = (SELECT s.id FROM gallery_segments s "
            "JOIN galleries g ON g.id = s.gallery_id WHERE g.key = %s ORDER BY s.low LIMIT 1)",
            "has no file",
        ),
    ],
)
@pytest.mark.usefixtures("sealed")
def test_rows_and_files_that_disagree_are_found(
    store: GalleryStore, key: str, database: Database, damage: str, problem: str
) -> None:
    with database.cursor() as cursor:
        cursor.execute(damage, (key,))
        assert cursor.rowcount == 1
    assert any(problem in sentence for sentence in store.verify(key).problems)


@pytest.mark.parametrize("place", ["first segment", "second segment", "unsealed"])
def test_a_vector_that_a_search_does_not_find_is_reported_wherever_it_is(
    store: GalleryStore, key: str, database: Database, place: str
) -> None:
    sealer = Sealer(database=database, files=store.files, policy=SealingPolicy(idle=timedelta(0)))
    store.create(key, SPEC)
    ids = {}
    for name, count in (("first segment", 300), ("second segment", 20), ("unsealed", 20)):
        ids[name] = store.append(key, random_embeddings(count, 16, seed=count), ["x"] * count).ids
        if name != "unsealed":
            sealer.run(key)
    store.search(key, ROWS[:1])
    assert store.verify(key).problems == ()
    lost = ids[place] if place != "first segment" else ids[place][100:]
    with database.cursor() as cursor:  # all of the same length, but not what files and memory have
        cursor.execute(
            "UPDATE gallery_vectors SET embedding = %s WHERE id = ANY(%s)",
            (encode(np.full((1, 16), 0.25, np.float32), "fp16").tobytes(), list(lost)),
        )
    (problem,) = store.verify(key).problems
    assert "are not found by themselves" in problem


def test_verify_is_silent_beside_writers_and_a_sealer(store: GalleryStore, sealed: Sealer, key: str) -> None:
    collector = GarbageCollector(
        database=store.database, files=store.files, policy=SealingPolicy(grace=timedelta(0))
    )
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            ids = store.append(key, ROWS[:20], ["new"] * 20).ids
            store.remove(key, ids=ids[:10])
            sealed.run(key)
            sealed.compact(key)
            collector.run()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(20):
            assert store.verify(key).problems == ()
    finally:
        stop.set()
        thread.join()
