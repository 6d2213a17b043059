"""Vectors to and from Postgres in its binary COPY format, psycopg2's fastest way."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from index_store.gallery import Ids
from index_store.progress import Progress, count_rows, silent
from index_store.vectors import NewVectors
from paddlewheel.errors import InternalError

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_END = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_LENGTH = struct.Struct(">i")
_KEYS = struct.Struct(">hiqiqiq")  # seven columns; gallery_id, id, batch_id
_FOUND = struct.Struct(">hiqiqi")  # four columns; id, generation, then the label's length

_COPY_IN = """
COPY gallery_vectors (gallery_id, id, batch_id, label, external_id, metadata, embedding)
FROM STDIN (FORMAT binary)
"""

# The range of ids keeps the scan on the primary key; the join tells the batches apart within it.
_COPY_OUT = """
COPY (
    WITH batches AS (
        SELECT batch_id, generation, first_id, last_id FROM gallery_operations
        WHERE gallery_id = {gallery} AND kind = 'append' AND generation > {low} AND generation <= {high}
    )
    SELECT v.id, b.generation, v.label, v.embedding
    FROM gallery_vectors v JOIN batches b USING (batch_id)
    WHERE v.gallery_id = {gallery}
      AND v.id BETWEEN (SELECT min(first_id) FROM batches) AND (SELECT max(last_id) FROM batches)
) TO STDOUT (FORMAT binary)
"""


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Live vectors, ascending by id. `codes` has the shape (n, bytes of one embedding)."""

    ids: Ids
    generations: Ids
    labels: tuple[str, ...]
    codes: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, mask: npt.NDArray[np.bool_]) -> "StoredRows":
        """The rows where the mask is true."""
        return StoredRows(
            ids=self.ids[mask],
            generations=self.generations[mask],
            labels=tuple(label for label, kept in zip(self.labels, mask, strict=True) if kept),
            codes=self.codes[mask],
        )

    def take(self, order: npt.NDArray[np.intp]) -> "StoredRows":
        """The rows of these positions."""
        return StoredRows(
            ids=self.ids[order],
            generations=self.generations[order],
            labels=tuple(self.labels[position] for position in order),
            codes=self.codes[order],
        )

    def joined(self, later: "StoredRows") -> "StoredRows":
        """Both, ascending by id."""
        both = StoredRows(
            ids=np.concatenate([self.ids, later.ids]),
            generations=np.concatenate([self.generations, later.generations]),
            labels=self.labels + later.labels,
            codes=np.concatenate([self.codes, later.codes]),
        )
        overlap = len(self) and len(later) and later.ids[0] < self.ids[-1]
        return both.take(np.argsort(both.ids)) if overlap else both


def copy_in(
    cursor: Cursor,
    gallery_id: int,
    batch_id: int,
    ids: Sequence[int],
    vectors: NewVectors,
    progress: Progress = silent,
) -> None:
    """Insert the rows; nothing of them is visible before the transaction commits."""
    numbered = count_rows(ids, "store", len(ids), progress)
    cursor.copy_expert(_COPY_IN, _Pieces(_pieces(gallery_id, batch_id, numbered, vectors)))  # type: ignore[arg-type]


def copy_out(cursor: Cursor, gallery_id: int, low: int, high: int, size: int) -> StoredRows:
    """The live vectors of the generations above `low` up to `high`; `size` is bytes of one embedding."""
    received = BytesIO()
    query = _COPY_OUT.format(gallery=int(gallery_id), low=int(low), high=int(high))
    cursor.copy_expert(query, received)
    return _parse(received.getbuffer(), size)


def _pieces(gallery_id: int, batch_id: int, ids: Iterable[int], vectors: NewVectors) -> Iterator[bytes]:
    yield _SIGNATURE
    embedding_length = _LENGTH.pack(vectors.codes.shape[1])
    columns = zip(ids, vectors.labels, vectors.external_ids, vectors.metadata, vectors.codes, strict=True)
    for vector_id, label, external_id, metadata, code in columns:
        yield b"".join(
            (
                _KEYS.pack(7, 8, gallery_id, 8, vector_id, 8, batch_id),
                _field(label.encode()),
                _NULL if external_id is None else _field(external_id.encode()),
                _NULL if metadata is None else _field(b"\x01" + metadata.encode()),
                embedding_length,
                code.tobytes(),
            )
        )
    yield _END


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


class _Pieces:
    """Pieces of bytes as the readable file that `copy_expert` wants, so that no copy holds all rows."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        held = [self._rest]
        length = len(self._rest)
        while length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            held.append(piece)
            length += len(piece)
        block = b"".join(held)
        self._rest = block[size:]
        return block[:size]


def _parse(data: memoryview, size: int) -> StoredRows:
    ids: list[int] = []
    generations: list[int] = []
    labels: list[str] = []
    embeddings: list[memoryview] = []
    offset = len(_SIGNATURE)
    while True:
        (columns,) = struct.unpack_from(">h", data, offset)
        if columns == -1:
            break
        _, _, vector_id, _, generation, label_length = _FOUND.unpack_from(data, offset)
        start = offset + _FOUND.size
        end = start + label_length
        (length,) = _LENGTH.unpack_from(data, end)
        if length != size:
            raise InternalError(f"The embedding of vector {vector_id} has {length} bytes, not {size}.")
        ids.append(vector_id)
        generations.append(generation)
        labels.append(str(data[start:end], "utf-8"))
        embeddings.append(data[end + 4 : end + 4 + size])
        offset = end + 4 + size
    found_ids = np.array(ids, np.int64)
    codes = np.frombuffer(b"".join(embeddings), np.uint8).reshape(len(ids), size)
    rows = StoredRows(
        ids=found_ids, generations=np.array(generations, np.int64), labels=tuple(labels), codes=codes
    )
    return rows if (np.diff(found_ids) > 0).all() else rows.take(np.argsort(found_ids))
