"""FAISS: recall by the self-test, filtering in every kind, and the pitfalls that hang or abort."""

import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from index_store.gallery import GallerySpec, IndexType, Metric
from index_store.indexes import build_index, exact_index, search_index, use_threads, widen
from index_store.segment_file import Labels
from index_store.selftest import NEEDED_AT_1, NEEDED_AT_10, build_tested, recall
from index_store.vectors import encode
from index_store.view import Source
from tests.embeddings import people, random_embeddings

ROWS = people(1000, 5, 32)[0]
CODES = encode(ROWS, "fp16")


@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize(
    ("index_type", "kind"), [("auto", "fast-scan"), ("IVF", "ivf"), ("HNSW32", "hnsw"), ("Flat", "exact")]
)
def test_an_index_is_published_only_with_the_recall_that_is_promised(
    index_type: IndexType, kind: str, metric: Metric
) -> None:
    built = build_tested(GallerySpec(dimension=32, index_type=index_type, metric=metric), CODES)
    assert built.kind == kind
    assert built.recall_at_1 >= NEEDED_AT_1
    assert built.recall_at_10 >= (NEEDED_AT_10 if index_type in ("auto", "Flat") else 0.5)
    queries = ROWS[:300] + 0.05 * random_embeddings(300, 32, seed=5)
    exact = exact_index(CODES, 32, metric, "fp16")
    found, best = search_index(built.index, queries, 10)[0], search_index(exact, queries, 10)[0]
    assert recall(found[:, :1], best[:, :1], metric) >= 0.99
    assert recall(found, best, metric) >= (0.98 if index_type in ("auto", "Flat") else 0.5)


def test_an_index_that_passes_finds_who_is_on_another_photograph() -> None:
    photographs = people(2000, 6, 64)[0]
    another = np.arange(len(photographs)) % 6 == 5
    codes, queries = encode(photographs[~another], "fp16"), photographs[another]
    exact = exact_index(codes, 64, "IP", "fp16")
    best, found = search_index(exact, queries, 1)[0], []
    for index_type in ("auto", "IVF", "HNSW32"):
        built = build_tested(GallerySpec(dimension=64, index_type=index_type), codes)
        found.append(recall(search_index(built.index, queries, 1)[0], best, "IP"))
    assert min(found) >= 0.99, found


def test_an_index_of_rows_that_all_point_one_way_is_tested_among_them() -> None:
    rows = np.repeat(random_embeddings(100, 64), 50, axis=0) + 0.2 * random_embeddings(5000, 64, seed=1)
    codes = encode(rows + 10 * random_embeddings(1, 64, seed=2), "fp16")
    built = build_tested(GallerySpec(dimension=64, index_type="IVF", metric="L2"), codes)
    assert built.kind == "ivf"
    index: Any = built.index
    assert index.nprobe <= index.nlist // 2


def test_few_rows_and_odd_dimensions_are_scanned_in_every_type() -> None:
    few = encode(random_embeddings(4095, 8), "fp16")
    odd = encode(random_embeddings(5000, 9), "fp16")
    for index_type in ("auto", "IVF", "HNSW32"):
        assert build_tested(GallerySpec(dimension=8, index_type=index_type), few).kind == "exact"
    assert build_tested(GallerySpec(dimension=9), odd).kind == "exact"


def test_an_index_that_cannot_reach_the_recall_is_replaced_by_a_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("index_store.selftest.NEEDED_AT_1", 1.1)
    built = build_tested(GallerySpec(dimension=32, index_type="HNSW32"), CODES)
    assert (built.kind, built.recall_at_1) == ("exact", 1.0)


def test_widening_ends() -> None:
    for kind in ("fast-scan", "ivf", "hnsw"):
        index = build_index(kind, CODES, 32, "IP", "fp16")
        steps = 0
        while widen(index, kind):
            steps += 1
        assert 0 < steps < 20
    assert not widen(exact_index(CODES, 32, "IP", "fp16"), "exact")


def test_recall_counts_scores_that_are_as_good_not_positions() -> None:
    exact = np.array([[0.9, 0.8]], np.float32)
    assert recall(np.array([[0.9, 0.8]], np.float32), exact, "IP") == 1
    assert recall(np.array([[0.9, 0.5]], np.float32), exact, "IP") == 0.5
    assert recall(np.array([[0.1, 0.9]], np.float32), np.array([[0.1, 0.2]], np.float32), "L2") == 0.5


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["exact", "fast-scan"])
def test_removed_rows_are_never_answered_and_live_ones_always(kind: str, share: float) -> None:
    index = build_index(kind, CODES, 32, "IP", "fp16")  # type: ignore[arg-type]
    ids = np.arange(0, 10 * len(ROWS), 10, dtype=np.int64)
    generator = np.random.default_rng(3)
    removed: npt.NDArray[np.int64] = generator.choice(ids, int(share * len(ids)), replace=False)
    source = Source(index=index, ids=ids, labels=Labels.of(["x"] * len(ids))).without(removed)
    live = np.setdiff1d(ids, removed)
    exact = exact_index(CODES[live // 10], 32, "IP", "fp16")
    best, _ = search_index(exact, ROWS[:50], 5)
    for (scores, rows), wanted in zip(source.search(ROWS[:50], 5), best, strict=True):
        assert not set(ids[rows].tolist()) & set(removed.tolist())
        np.testing.assert_allclose(scores, wanted[wanted > -2], atol=2e-3)


@pytest.mark.parametrize("kind", ["exact", "fast-scan", "ivf", "hnsw"])
def test_an_approximate_index_never_answers_with_fewer_rows_than_are_live(kind: str) -> None:
    index = build_index(kind, CODES, 32, "IP", "fp16")  # type: ignore[arg-type]
    ids = np.arange(len(ROWS), dtype=np.int64)
    nearest = search_index(exact_index(CODES, 32, "IP", "fp16"), ROWS[:1], 4900)[1][0]
    source = Source(index=index, ids=ids, labels=Labels.of(["x"] * len(ids))).without(nearest)
    live = set(ids.tolist()) - set(nearest.tolist())
    ((_, rows),) = source.search(ROWS[:1], 60)
    assert len(rows) == 60
    ((_, rows),) = source.search(ROWS[:1], 300)
    assert set(rows.tolist()) == live


def test_a_forked_child_can_search_after_its_parent_has() -> None:
    index = build_index("fast-scan", CODES, 32, "IP", "fp16")
    use_threads(2)
    search_index(index, ROWS[:64], 5)
    with warnings.catch_warnings():  # later Pythons warn of what is tested here
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        use_threads(2)
        search_index(index, ROWS[:64], 5)
        build_index("ivf", CODES, 32, "IP", "fp16")
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    use_threads(1)
