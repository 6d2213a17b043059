"""One segment, one file: the index first, where FAISS maps it, then ids and labels, last a footer.

    index bytes as FAISS writes them
    int64   ids[rows]             ascending; row i of the index is ids[i]
    uint32  label_codes[rows]
    uint64  label_ends[labels]    end of each distinct label in the text
    bytes   text                  the distinct labels, UTF-8
    footer  magic, index bytes, rows, labels, text bytes

The file is written once and never changed; its SHA-256 is in Postgres.
"""

import mmap
import os
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index_store.gallery import Ids
from index_store.indexes import Index, open_index, reading, write_index
from paddlewheel.errors import SegmentCorrupt, SegmentStoreUnavailable

_MAGIC = b"PWSEG001"
_FOOTER = struct.Struct("<8sQQQQ")
_HASH_BLOCK = 1 << 20
_COPIED_BYTES = 1 << 20


class Labels:
    """The labels of a segment's rows, decoded from the mapped file only when asked for."""

    def __init__(self, codes: memoryview, ends: memoryview, text: memoryview) -> None:
        self.codes: npt.NDArray[np.uint32] = np.asarray(codes)
        self._codes = codes  # a single one is read three times as fast here as from the array
        self._ends = ends
        self._text = text

    @classmethod
    def of(cls, labels: Sequence[str]) -> "Labels":
        """The same thing made of labels in memory."""
        distinct = dict.fromkeys(labels)
        numbers = {label: number for number, label in enumerate(distinct)}
        encoded = [label.encode() for label in distinct]
        return cls(
            np.array([numbers[label] for label in labels], np.uint32).data,
            np.cumsum([len(text) for text in encoded], dtype=np.uint64).data,
            memoryview(b"".join(encoded)),
        )

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, row: int) -> str:
        return self.text(self._codes[row])

    def text(self, code: int) -> str:
        """The label of that code; `codes` has one for each row."""
        start = self._ends[code - 1] if code else 0
        return str(self._text[start : self._ends[code]], "utf-8")

    @property
    def distinct_count(self) -> int:
        """How many labels are distinct."""
        return len(self._ends)

    def distinct(self, among: npt.NDArray[np.bool_] | None = None) -> list[str]:
        """The labels of all rows, or of those where the mask is true, each once."""
        if among is None:
            return [self.text(code) for code in range(len(self._ends))]
        used = np.bincount(self.codes[among], minlength=len(self._ends))
        return [self.text(code) for code in np.flatnonzero(used).tolist()]

    def parts(self) -> tuple[bytes, bytes, bytes, int]:
        """The bytes of codes, ends and text, and how many labels are distinct."""
        return self._codes.tobytes(), self._ends.tobytes(), bytes(self._text), len(self._ends)


class SegmentFile:
    """An open segment: its index, which is mapped, and the ids and labels of its rows.

    Raises SegmentCorrupt where the file is gone or is none, SegmentStoreUnavailable where only this process
    cannot open it.
    """

    def __init__(self, path: Path) -> None:
        rows, labels, tail = _tail(path)
        self.index: Index = open_index(path)
        if self.index.ntotal != rows:
            raise _not_a_segment(path)
        ends_at = 12 * rows
        text_at = ends_at + 8 * labels
        self.ids: Ids = np.frombuffer(tail[: 8 * rows], np.int64)
        self.labels = Labels(
            tail[8 * rows : ends_at].cast("I"), tail[ends_at:text_at].cast("Q"), tail[text_at:]
        )


def _tail(path: Path) -> tuple[int, int, memoryview]:
    """How many rows and labels there are, and the bytes between the index and the footer.

    A small one is copied, because a mapping holds a descriptor for as long as it lives.
    """
    with reading(path), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END) - _FOOTER.size
        if end < 0:
            raise _not_a_segment(path)
        file.seek(end)
        magic, start, rows, labels, text_bytes = _FOOTER.unpack(file.read())
        if magic != _MAGIC or start + 12 * rows + 8 * labels + text_bytes != end:
            raise _not_a_segment(path)
        if end - start > _COPIED_BYTES:
            return rows, labels, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:end]
        file.seek(start)
        return rows, labels, memoryview(file.read(end - start))


def _not_a_segment(path: Path) -> SegmentCorrupt:
    return SegmentCorrupt(f"{path.name} is not a segment of this version.")


def write_segment(path: Path, index: Index, ids: Ids, labels: Sequence[str]) -> tuple[int, str]:
    """Write the file and force it to the disk; returns its size and SHA-256 in hexadecimal."""
    write_index(index, path)
    codes, ends, text, distinct = Labels.of(labels).parts()
    try:
        with path.open("ab") as file:
            index_bytes = file.tell()
            for part in (ids.astype("<i8").tobytes(), codes, ends, text):
                file.write(part)
            file.write(_FOOTER.pack(_MAGIC, index_bytes, len(ids), distinct, len(text)))
            file.flush()
            os.fsync(file.fileno())
        return path.stat().st_size, file_digest(path)
    except OSError as err:
        raise SegmentStoreUnavailable(f"{path.name} cannot be written: {err.strerror}.") from err


def check_file(path: Path, size: int, digest: str) -> Path:
    """The path itself, or SegmentCorrupt when the file is missing, cut off or not the one written.

    SegmentStoreUnavailable where it cannot be read, which says nothing about the file.
    """
    with reading(path):
        if path.stat().st_size != size:
            raise SegmentCorrupt(f"The segment file {path.name} has not the size that was written.")
        if file_digest(path) != digest:
            raise SegmentCorrupt(f"The segment file {path.name} was altered: its SHA-256 is another.")
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of the file in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
