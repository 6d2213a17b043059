"""Values that are refused before they reach the database, and encoding: it loses only what fp16 loses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from index_store.gallery import MAX_DIMENSION, GallerySpec, Metric, check_key
from index_store.indexes import exact_index, search_index
from index_store.vectors import check_model, checked_embeddings, decode, encode, new_vectors
from paddlewheel.errors import DimensionMismatch, InvalidRequest, ModelMismatch, VectorInvalid

SPEC = GallerySpec(dimension=4)
FINE = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    "bad", [[np.nan, 1, 1, 1], [np.inf, 1, 1, 1], [0, 0, 0, 0], [70000, 0, 0, 0], [1e-9, 0, 0, 0]]
)
def test_a_vector_that_cannot_be_searched_is_refused_with_its_row(bad: list[float]) -> None:
    with pytest.raises(VectorInvalid, match="row 1"):
        checked_embeddings(SPEC, [[1.0, 2.0, 3.0, 4.0], bad])


def test_fp32_takes_what_fp16_cannot_hold() -> None:
    spec = GallerySpec(dimension=4, precision="fp32")
    assert checked_embeddings(spec, [[70000.0, 0, 0, 0], [1e-9, 0, 0, 0]]).shape == (2, 4)


@pytest.mark.parametrize("metric", ["IP", "L2"])
def test_the_largest_values_of_fp32_have_finite_scores(metric: Metric) -> None:
    spec = GallerySpec(dimension=MAX_DIMENSION, precision="fp32", metric=metric)
    rows = np.full((2, MAX_DIMENSION), 1e17, np.float32)
    rows[1] *= -1
    checked = checked_embeddings(spec, rows)
    index = exact_index(encode(checked, "fp32"), MAX_DIMENSION, metric, "fp32")
    scores, positions = search_index(index, checked, 2)
    assert np.isfinite(scores).all()
    assert positions.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(VectorInvalid, match=r"row 1 has a value too large for fp32 \(normalise"):
        checked_embeddings(spec, rows * np.array([[1], [1.01]], np.float32))


def test_wrong_dimensions_are_refused() -> None:
    wrongs: tuple[Any, ...] = (np.ones((2, 3)), np.ones(5), np.ones((1, 2, 4)), 3.0)
    for wrong in wrongs:
        with pytest.raises(DimensionMismatch):
            checked_embeddings(SPEC, wrong)


def test_a_single_vector_is_one_row_and_no_vector_is_none() -> None:
    assert checked_embeddings(SPEC, [1, 2, 3, 4]).shape == (1, 4)
    assert checked_embeddings(SPEC, []).shape == (0, 4)


def test_embeddings_that_are_no_array_of_numbers_are_refused() -> None:
    wrongs: tuple[Any, ...] = ([["a", "b", "c", "d"]], [[1, 2], [3]])
    for wrong in wrongs:
        with pytest.raises(VectorInvalid):
            checked_embeddings(SPEC, wrong)


def test_columns_of_another_length_are_refused() -> None:
    for labels, external_ids in ((["a"], None), ("ab", None), (["a", "b"], ["x"])):
        with pytest.raises(InvalidRequest):
            new_vectors(SPEC, FINE, labels, external_ids)


@pytest.mark.parametrize("label", ["a\0b", "x" * 1025, "é" * 513, "\ud83d", None, 7])
def test_labels_that_postgres_cannot_index_are_refused(label: object) -> None:
    with pytest.raises(InvalidRequest, match="row 1"):
        new_vectors(SPEC, FINE, ["a", label])  # type: ignore[list-item]


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "metadata", [{"a": float("nan")}, {"a": object()}, {"a": "\0"}, {"\udc00": 1}, {"a": nested(100_000)}]
)
def test_metadata_that_is_no_json_is_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="row 0"):
        new_vectors(SPEC, FINE, ["a", "b"], metadata=[metadata, None])


@given(
    st.text(st.characters(exclude_categories=()), max_size=200)
    | st.sampled_from(["\\u0000", "\\ud800", "\\\0", "\ud800"])
)
def test_texts_are_refused_where_postgres_cannot_keep_them_and_nowhere_else(text: str) -> None:
    fits = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    attempts: tuple[dict[str, Any], ...] = (
        {"labels": [text]},
        {"labels": ["a"], "external_ids": [text]},
        {"labels": ["a"], "metadata": [{"a": [1, {"b": text}]}]},
        {"labels": ["a"], "metadata": [{"a": {text: None}}]},
    )
    for columns in attempts:
        if fits:
            assert len(new_vectors(SPEC, FINE[:1], **columns)) == 1
        else:
            with pytest.raises(InvalidRequest, match="row 0"):
                new_vectors(SPEC, FINE[:1], **columns)


def test_the_digest_tells_any_difference() -> None:
    one = new_vectors(SPEC, FINE, ["a", "b"])
    others = [
        new_vectors(SPEC, FINE * 2, ["a", "b"]),
        new_vectors(SPEC, FINE, ["b", "a"]),
        new_vectors(SPEC, FINE, ["a", "b"], ["x", None]),
        new_vectors(SPEC, FINE, ["a", "b"], None, [{}, None]),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5
    assert one.digest == new_vectors(SPEC, FINE.copy(), ("a", "b")).digest


def test_only_a_named_model_is_compared() -> None:
    named = GallerySpec(dimension=4, model_fingerprint="a")
    check_model(named, None)
    check_model(SPEC, "b")
    check_model(named, "a")
    with pytest.raises(ModelMismatch):
        check_model(named, "b")


@settings(deadline=None)
@given(arrays(np.float32, (3, 4), elements=st.floats(-60000, 60000, width=16)))
def test_encoding_keeps_what_fp16_can_hold(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    np.testing.assert_array_equal(decode(encode(rows, "fp16"), "fp16"), rows)
    np.testing.assert_array_equal(decode(encode(rows, "fp32"), "fp32"), rows)


@pytest.mark.parametrize(
    "fields",
    [
        {"dimension": 0},
        {"dimension": 5000},
        {"metric": "hamming"},
        {"index_type": "PQ"},
        {"precision": "int8"},
    ],
)
def test_a_gallery_that_cannot_be_made_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        GallerySpec(**{"dimension": 4, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "../up", "a b", ".hidden", "x" * 201, "a/b"])
def test_keys_that_are_no_names_are_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        check_key(key)
