"""Operations that are distinguished by their requests, and that keep a note for repeats."""

import numpy as np
import pytest

from index_store.gallery import GallerySpec
from index_store.store import GalleryStore
from paddlewheel.errors import OperationMismatch

SPEC = GallerySpec(dimension=8)
ROWS = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
LABELS = ["a", "b", "c"]
ONE, OTHER = b"1" * 32, b"2" * 32
NOTE = {"outcomes": [1, "ä"]}


def test_an_operation_repeated_with_other_rows_of_the_same_request_answers_what_it_answered(
    store: GalleryStore, key: str
) -> None:
    store.build(key, SPEC, ROWS[:0], [], operation_id="new", request_digest=ONE, note=NOTE)
    assert store.build(key, SPEC, ROWS[:0], [], operation_id="new", request_digest=ONE).note == NOTE
    first = store.append(key, ROWS, LABELS, operation_id="a", request_digest=ONE, note=NOTE)
    again = store.append(key, ROWS * 1.01, LABELS, operation_id="a", request_digest=ONE, note={})
    assert (again.ids, again.note, again.repeated) == (first.ids, NOTE, True)
    assert store.find_append(key, "a", ONE) == again
    assert store.gallery(key).live == 3


def test_an_operation_that_was_not_done_is_not_found(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    assert store.find_append(key, "a", ONE) is None


def test_an_operation_of_another_request_is_refused(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    store.append(key, ROWS, LABELS, operation_id="a", request_digest=ONE)
    with pytest.raises(OperationMismatch):
        store.append(key, ROWS, LABELS, operation_id="a", request_digest=OTHER)
    with pytest.raises(OperationMismatch):
        store.find_append(key, "a", OTHER)


def test_live_vectors_are_found_by_their_external_ids(store: GalleryStore, key: str) -> None:
    store.create(key, SPEC)
    ids = store.append(key, ROWS, LABELS, external_ids=["x", "y", None]).ids
    assert store.find_external(key, ["x", "y", "z"]) == (("x", "a"), ("y", "b"))
    store.remove(key, ids=[ids[0]])
    assert store.find_external(key, ["x", "y", "z"]) == (("y", "b"),)
