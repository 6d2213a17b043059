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

from api_client.errors import SegmentCorrupt, SegmentStoreUnavailable
from index_store.gallery import Ids
from index_store.indexes import Index, open_index, write_index

_MAGIC = b"PWSEG001"
_FOOTER = struct.Struct("<8sQQQQ")
_HASH_BLOCK = 1 << 20


class Labels:
    """The labels of a segment's rows, decoded from the mapped file only when asked for."""

    def __init__(self, codes: memoryview, ends: memoryview, text: memoryview) -> None:
        self._codes = codes
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
        number = self._codes[row]
        start = self._ends[number - 1] if number else 0
        return str(self._text[start : self._ends[number]], "utf-8")

    def parts(self) -> tuple[bytes, bytes, bytes, int]:
        """The bytes of codes, ends and text, and how many labels are distinct."""
        return self._codes.tobytes(), self._ends.tobytes(), bytes(self._text), len(self._ends)


class SegmentFile:
    """An open segment: its index, and the ids and labels of its rows. All of it is mapped, none copied."""

    def __init__(self, path: Path) -> None:
        try:
            self.index: Index = open_index(path)
            with path.open("rb") as file:
                mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as err:  # it can go between the check and here, when it is no longer needed
            raise SegmentCorrupt(f"The segment file {path.name} cannot be read: {err.strerror}.") from err
        magic, start, rows, labels, text_bytes = _FOOTER.unpack(mapped[-_FOOTER.size :])
        if magic != _MAGIC or self.index.ntotal != rows:
            raise SegmentCorrupt(f"{path.name} is not a segment of this version.")
        codes_at = start + 8 * rows
        ends_at = codes_at + 4 * rows
        text_at = ends_at + 8 * labels
        self.ids: Ids = np.frombuffer(mapped[start:codes_at], np.int64)
        self.labels = Labels(
            mapped[codes_at:ends_at].cast("I"),
            mapped[ends_at:text_at].cast("Q"),
            mapped[text_at : text_at + text_bytes],
        )


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
    """The path itself, or SegmentCorrupt when the file is missing, cut off or not the one written."""
    try:
        if path.stat().st_size != size:
            raise SegmentCorrupt(f"The segment file {path.name} has not the size that was written.")
        if file_digest(path) != digest:
            raise SegmentCorrupt(f"The segment file {path.name} was altered: its SHA-256 is another.")
    except OSError as err:
        raise SegmentCorrupt(f"The segment file {path.name} cannot be read: {err.strerror}.") from err
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of the file in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
