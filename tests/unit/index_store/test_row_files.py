"""The files that `append` and `search` read, the wrong ones too."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.row_files import Rows, read_embeddings, read_rows
from paddlewheel.errors import DimensionMismatch, InvalidRequest, LabelListInvalid


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npy"
    np.save(path, np.arange(1, 13, dtype=np.float32).reshape(3, 4))
    return path


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_labels_are_lines_and_nothing_else_splits_them(embeddings: Path, tmp_path: Path) -> None:
    text = "\ufeffAnn\u2028Lee\r\n\nBob\u0085Ray\nCy\x1cD\n"
    rows = read_rows(embeddings, written(tmp_path / "labels.txt", text))
    assert rows.labels == ("Ann\u2028Lee", "Bob\u0085Ray", "Cy\x1cD")
    assert (rows.external_ids, rows.metadata) == (None, None)


def test_what_belongs_to_the_rows_goes_with_their_parts(embeddings: Path, tmp_path: Path) -> None:
    rows = read_rows(
        embeddings,
        written(tmp_path / "labels.txt", "a\nb\nc\n"),
        written(tmp_path / "external.txt", "1\n2\n3\n"),
        written(tmp_path / "metadata.jsonl", '{"x": 1}\nnull\n{}\n'),
    )
    parts = list(rows.parts(2))
    assert [len(part) for part in parts] == [2, 1]
    assert [part.labels for part in parts] == [("a", "b"), ("c",)]
    assert [part.external_ids for part in parts] == [("1", "2"), ("3",)]
    assert [part.metadata for part in parts] == [({"x": 1}, None), ({},)]
    assert np.array_equal(np.concatenate([part.embeddings for part in parts]), rows.embeddings)
    assert [part.metadata for part in Rows(embeddings=rows.embeddings, labels=rows.labels).parts(3)] == [None]


@given(count=st.integers(0, 50), size=st.integers(1, 20), beside=st.booleans())
def test_parts_of_any_size_are_the_rows_together(count: int, size: int, beside: bool) -> None:
    numbers = range(count)
    labels = tuple(f"label {number}" for number in numbers)
    metadata = tuple({"row": number} for number in numbers) if beside else None
    embeddings = np.arange(count * 2).reshape(count, 2)
    parts = list(Rows(embeddings=embeddings, labels=labels, metadata=metadata).parts(size))
    assert all(0 < len(part) == len(part.labels) <= size for part in parts)
    assert [row for part in parts for row in part.embeddings.tolist()] == embeddings.tolist()
    assert tuple(label for part in parts for label in part.labels) == labels
    found = tuple(each for part in parts for each in part.metadata or ())
    assert found == (metadata or ())


@pytest.mark.parametrize("name", ["labels.txt", "external.txt", "metadata.jsonl"])
def test_text_files_that_do_not_fit_are_refused_by_their_name(
    embeddings: Path, tmp_path: Path, name: str
) -> None:
    files = {
        "labels.txt": written(tmp_path / "labels.txt", "a\nb\nc\n"),
        "external.txt": written(tmp_path / "external.txt", "1\n2\n3\n"),
        "metadata.jsonl": written(tmp_path / "metadata.jsonl", "{}\n{}\n{}\n"),
    }
    for wrong in ("null\n", b"a\n\xff\nc\n"):
        written(files[name], wrong)
        with pytest.raises(LabelListInvalid, match=name):
            read_rows(embeddings, *files.values())


@pytest.mark.parametrize("line", ["{", "[1]", "1", '"text"'])
def test_metadata_that_is_no_object_is_refused_with_its_row(
    embeddings: Path, tmp_path: Path, line: str
) -> None:
    labels = written(tmp_path / "labels.txt", "a\nb\nc\n")
    with pytest.raises(LabelListInvalid, match="row 1"):
        read_rows(embeddings, labels, None, written(tmp_path / "metadata.jsonl", f"{{}}\n{line}\n{{}}\n"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"PK\x03\x04", npy(np.ones((2, 4)))[:-8], npy(np.array([["a"]])), npy(np.ones((1, 2)) * 1j)],
)
def test_a_file_without_an_array_of_numbers_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"is not an \.npy file"):
        read_embeddings(written(tmp_path / "rows.npy", content))


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", a=np.ones((2, 4)))
    with pytest.raises(InvalidRequest, match=r"\.npz archive"):
        read_embeddings(tmp_path / "rows.npz")


@pytest.mark.parametrize("shape", [(), (4,), (1, 2, 4)])
def test_an_array_of_another_shape_is_refused_with_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch, match="shape"):
        read_embeddings(written(tmp_path / "rows.npy", npy(np.ones(shape))))


def test_no_embedding_is_no_error(tmp_path: Path) -> None:
    assert read_embeddings(written(tmp_path / "rows.npy", npy(np.ones((0, 4))))).shape == (0, 4)
