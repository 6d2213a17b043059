"""Searches by label against a plain dictionary, and how many rows they look at."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store import view
from index_store.gallery import Embeddings, Gallery, GallerySpec, Metric, SearchHit
from index_store.indexes import Found, Index, search_index
from index_store.rows import StoredRows
from index_store.segment_file import Labels
from index_store.vectors import encode
from index_store.view import Delta, View, memory_source

GRID = np.array([[x, y, z, 1] for x in (-1, 0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
"""Few and of small whole numbers, so that scores are exact and many rows are equally near."""
METRICS = st.sampled_from(["IP", "L2"])
ROW = st.tuples(st.integers(0, len(GRID) - 1), st.sampled_from(["ann", "bob", "c d", ""]))


def stored(first: int, embeddings: Embeddings, labels: Sequence[str]) -> StoredRows:
    return StoredRows(
        ids=np.arange(first, first + len(labels), dtype=np.int64),
        generations=np.ones(len(labels), np.int64),
        labels=tuple(labels),
        codes=encode(embeddings, "fp16"),
    )


def seen(metric: Metric, *sources: StoredRows, dimension: int = 4) -> View:
    """A view of a segment for each of the sources."""
    spec = GallerySpec(dimension=dimension, metric=metric)
    gallery = Gallery(
        id=1,
        key="g",
        spec=spec,
        generation=1,
        sealed_generation=1,
        live=sum(len(rows) for rows in sources),
        created_at=datetime.now(UTC),
    )
    segments = {str(number): memory_source(spec, rows) for number, rows in enumerate(sources)}
    return View(gallery=gallery, segments=segments, delta=Delta())


@settings(deadline=None)
@given(
    metric=METRICS,
    parts=st.lists(st.lists(ROW, max_size=40), max_size=4),
    gone=st.sets(st.integers(0, 160)),
    query=st.integers(0, len(GRID) - 1),
    top_k=st.integers(1, 5),
    threshold=st.none() | st.integers(-2, 6),
)
def test_a_search_by_label_answers_what_a_dictionary_would(
    metric: Metric,
    parts: list[list[tuple[int, str]]],
    gone: set[int],
    query: int,
    top_k: int,
    threshold: int | None,
) -> None:
    model: dict[str, tuple[float, int]] = {}
    sources: list[StoredRows] = []
    sign = -1 if metric == "IP" else 1
    first = 0
    for part in parts:
        sources.append(stored(first, GRID[[row for row, _ in part]], [label for _, label in part]))
        for vector_id, (row, label) in enumerate(part, first):
            near = GRID[query] @ GRID[row] if metric == "IP" else ((GRID[query] - GRID[row]) ** 2).sum()
            if vector_id not in gone and (threshold is None or sign * near <= sign * threshold):
                key = (sign * float(near), vector_id)
                model[label] = min(model.get(label, key), key)
        first += len(part)
    looked = seen(metric, *sources)
    removed = np.array(sorted(gone), np.int64)
    segments = {name: source.without(removed) for name, source in looked.segments.items()}
    looked = View(gallery=looked.gallery, segments=segments, delta=looked.delta)
    (hits,) = looked.search(GRID[[query]], top_k, threshold, "label")
    wanted = sorted((*key, label) for label, key in model.items())[:top_k]
    assert hits == tuple(SearchHit(vector_id, label, sign * key) for key, vector_id, label in wanted)


@pytest.fixture
def requested_counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows that each search of an index asks for."""
    counts: list[int] = []

    def counted(index: Index, queries: Embeddings, count: int) -> Found:
        counts.append(count)
        return search_index(index, queries, count)

    monkeypatch.setattr(view, "search_index", counted)
    return counts


def test_a_gallery_of_fewer_labels_than_wanted_is_not_read_whole(requested_counts: list[int]) -> None:
    halves = [stored(first, np.tile(GRID, (500, 1)), ["ann", "bob"] * 3000) for first in (0, 6000)]
    looked = seen("IP", *halves)
    (hits,) = looked.search(GRID[:1], 5, None, "label")
    assert [hit.label for hit in hits] == ["ann", "bob"]
    assert sum(requested_counts) <= 100
    without_bob = np.concatenate([half.ids[1::2] for half in halves])
    segments = {name: source.without(without_bob) for name, source in looked.segments.items()}
    looked = View(gallery=looked.gallery, segments=segments, delta=looked.delta)
    requested_counts.clear()
    (hits,) = looked.search(GRID[:1], 5, None, "label")
    assert [hit.label for hit in hits] == ["ann"]
    assert sum(requested_counts) <= 200


def test_a_label_behind_thousands_of_near_rows_of_another_is_found_through_arrays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = np.tile(GRID[-1:], (5000, 1)), GRID[:1]
    looked = seen("L2", stored(0, np.concatenate([near, far]), ["ann"] * 5000 + ["bob"]))
    decoded: list[int] = []
    text = Labels.text

    def counted(labels: Labels, code: int) -> str:
        decoded.append(code)
        return text(labels, code)

    monkeypatch.setattr(Labels, "text", counted)
    (hits,) = looked.search(GRID[-1:], 5, 100.0, "label")
    assert [(hit.id, hit.label) for hit in hits] == [(0, "ann"), (5000, "bob")]
    assert len(decoded) <= 40, "twenty rows at first, then labels alone"
