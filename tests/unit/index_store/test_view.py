"""The rows that no segment holds: whatever comes in whatever order, all live ones are there."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.gallery import GallerySpec, Metric
from index_store.rows import StoredRows
from index_store.vectors import encode
from index_store.view import Delta, memory_source
from tests.embeddings import random_embeddings

SPEC = GallerySpec(dimension=4)
POOL = encode(random_embeddings(64, 4), "fp16")


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("index_store.view._CHUNK_ROWS", 16)
        patch.setattr("index_store.view._TAIL_ROWS", 4)
        yield


def rows(ids: list[int], generation: int) -> StoredRows:
    return StoredRows(
        ids=np.array(ids, np.int64),
        generations=np.full(len(ids), generation, np.int64),
        labels=tuple(f"label {number}" for number in ids),
        codes=POOL[np.array(ids, np.int64) % 64],
    )


@settings(deadline=None)
@given(st.data())
def test_unsealed_rows_are_kept_whole_in_few_chunks(data: st.DataObject) -> None:
    delta, model, next_id = Delta(), dict[int, int](), 0
    for generation in range(1, data.draw(st.integers(1, 25), label="commits")):
        match data.draw(st.sampled_from(["append", "append", "append", "remove", "seal"]), label="what"):
            case "append":
                count = data.draw(st.integers(0, 40), label="rows")
                ids = list(range(next_id, next_id + count))
                next_id += count
                delta = delta.append(SPEC, rows(ids, generation))
                model |= dict.fromkeys(ids, generation)
            case "remove":
                gone = data.draw(st.lists(st.integers(0, next_id), max_size=10), label="gone")
                delta = delta.without(np.array(sorted(set(gone)), np.int64))
                model = {number: at for number, at in model.items() if number not in gone}
            case "seal":
                sealed = data.draw(st.integers(0, generation), label="sealed")
                delta = delta.above(SPEC, sealed)
                model = {number: at for number, at in model.items() if at > sealed}
        live = [number for source in delta.sources for number in source.live(source.ids).tolist()]
        assert sorted(live) == sorted(model)
        stored = sum(len(chunk) for chunk in delta.rows)
        assert len(delta.rows) <= 3 + stored // 8
        for source in delta.sources:
            assert (np.diff(source.ids) > 0).all()
            assert [source.labels[row] for row in range(len(source.ids))] == [
                f"label {number}" for number in source.ids
            ]


def test_rows_that_commit_late_with_lower_ids_find_their_place() -> None:
    delta = Delta().append(SPEC, rows([5, 6], 1)).append(SPEC, rows([2, 3], 2))
    (source,) = delta.sources
    assert source.ids.tolist() == [2, 3, 5, 6]
    assert delta.rows[0].generations.tolist() == [2, 2, 1, 1]
    (hits,) = source.search(random_embeddings(64, 4)[3:4], 1)
    assert source.ids[hits[1]].tolist() == [3]


def test_a_search_of_an_old_view_is_not_changed_by_a_new_one() -> None:
    old = Delta().append(SPEC, rows([1, 2, 3], 1))
    new = old.without(np.array([2], np.int64)).append(SPEC, rows([4], 2))
    assert [source.live(np.arange(9)).tolist() for source in old.sources] == [[1, 2, 3]]
    assert [source.live(np.arange(9)).tolist() for source in new.sources] == [[1, 3, 4]]


@pytest.mark.parametrize("removed", [[], [2]])
@pytest.mark.parametrize("metric", ["IP", "L2"])
def test_a_search_whose_scores_overflow_ends(metric: Metric, removed: list[int]) -> None:
    spec = GallerySpec(dimension=512, metric=metric, precision="fp32")
    stored = StoredRows(
        ids=np.arange(40, dtype=np.int64),
        generations=np.ones(40, np.int64),
        labels=("x",) * 40,
        codes=encode(np.full((40, 512), -1e20, np.float32), "fp32"),
    )
    source = memory_source(spec, stored).without(np.array(removed, np.int64))
    ((_, rows),) = source.search(np.full((1, 512), 1e20, np.float32), 5)
    assert not set(source.ids[rows].tolist()) & set(removed)
