"""One segment, one file: what is written is what is read, and what was changed is refused."""

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.gallery import GallerySpec
from index_store.indexes import exact_index, search_index
from index_store.segment_file import Labels, SegmentFile, check_file, write_segment
from index_store.selftest import build_tested
from index_store.vectors import encode
from paddlewheel.errors import SegmentCorrupt, SegmentStoreUnavailable
from tests.embeddings import random_embeddings

ROWS = random_embeddings(50, 16)
IDS = np.arange(1000, 1500, 10, dtype=np.int64)
LABELS = [f"läbel {number % 7}" for number in range(50)]


def written(path: Path) -> tuple[int, str]:
    return write_segment(path, exact_index(encode(ROWS, "fp16"), 16, "IP", "fp16"), IDS, LABELS)


@pytest.mark.parametrize("copied_bytes", [0, 1 << 20])
def test_a_segment_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_bytes: int
) -> None:
    monkeypatch.setattr("index_store.segment_file._COPIED_BYTES", copied_bytes)
    path = tmp_path / "a.segment"
    size, digest = written(path)
    opened = SegmentFile(check_file(path, size, digest))
    np.testing.assert_array_equal(opened.ids, IDS)
    assert [opened.labels[row] for row in range(50)] == LABELS
    _, rows = search_index(opened.index, ROWS, 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))


@pytest.mark.parametrize("index_type", ["auto", "IVF", "HNSW32"])
def test_every_kind_of_index_survives_the_file(tmp_path: Path, index_type: str) -> None:
    rows = random_embeddings(4200, 16)
    spec = GallerySpec(dimension=16, index_type=index_type)  # type: ignore[arg-type]
    built = build_tested(spec, encode(rows, "fp16"))
    path = tmp_path / "a.segment"
    write_segment(path, built.index, np.arange(4200, dtype=np.int64), ["x"] * 4200)
    before = search_index(built.index, rows[:20], 10)
    after = search_index(SegmentFile(path).index, rows[:20], 10)
    np.testing.assert_array_equal(before[1], after[1])


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_altered_byte_is_noticed(segment: tuple[Path, int, str], at: int, change: int) -> None:
    path, size, digest = segment
    content = path.read_bytes()
    at %= size
    path.write_bytes(content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
    with pytest.raises(SegmentCorrupt):
        check_file(path, size, digest)
    path.write_bytes(content)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_any_torn_file_is_noticed(segment: tuple[Path, int, str], length: int) -> None:
    path, size, digest = segment
    content = path.read_bytes()
    path.write_bytes(content[: length % size])
    with pytest.raises(SegmentCorrupt):
        check_file(path, size, digest)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    path = tmp_path_factory.mktemp("segments") / "a.segment"
    return path, *written(path)


def test_a_missing_file_and_a_foreign_one_are_corrupt(tmp_path: Path) -> None:
    with pytest.raises(SegmentCorrupt):
        check_file(tmp_path / "none", 1, "")
    with pytest.raises(SegmentCorrupt):
        SegmentFile(tmp_path / "none")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"not an index")
    with pytest.raises(SegmentCorrupt):
        SegmentFile(foreign)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.ESTALE, errno.EIO])
def test_what_keeps_a_process_from_a_file_is_no_damage_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.segment"
    size, digest = written(path)

    def refused(*arguments: object, **options: object) -> None:  # noqa: ARG001
        raise OSError(number, os.strerror(number))

    for name in ("pathlib.Path.open", "mmap.mmap"):
        with monkeypatch.context() as patch:
            patch.setattr(name, refused)
            with pytest.raises(SegmentStoreUnavailable, match=os.strerror(number)):
                SegmentFile(path)
    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(SegmentStoreUnavailable, match=os.strerror(number)):
        check_file(path, size, digest)


def test_memory_that_is_too_small_is_no_damage_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.segment"
    written(path)
    monkeypatch.setattr("faiss.read_index", Mock(side_effect=MemoryError))
    with pytest.raises(SegmentStoreUnavailable, match="memory"):
        SegmentFile(path)


@pytest.mark.parametrize("content", [b"", b"x", bytes(40), b"PWSEG001" + bytes(32), bytes(8) + b"\xff" * 64])
def test_bytes_that_are_no_segment_are_corrupt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.segment"
    path.write_bytes(content)
    with pytest.raises(SegmentCorrupt):
        SegmentFile(path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted as Linux lists them")
def test_an_open_segment_of_few_rows_holds_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "a.segment"
    written(path)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    opened = [SegmentFile(path) for _ in range(10)]
    assert len(list(descriptors.iterdir())) == before
    assert len(opened) == 10


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)))
def test_labels_come_back_whatever_they_are(labels: list[str]) -> None:
    packed = Labels.of(labels)
    assert [packed[row] for row in range(len(packed))] == labels
    assert packed.distinct() == list(dict.fromkeys(labels))
    odd = np.arange(len(labels)) % 2 == 1
    assert set(packed.distinct(odd)) == set(labels[1::2])
