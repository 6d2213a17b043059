"""Transactions that write: each is one commit, numbered by the generation and named by its operation id.

Every append or remove ends in `_record`, which locks the gallery's row for the rest of the transaction:
so generations have the order of the commits and no gaps, while the rows themselves are copied before, in
parallel with other writers.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from database.pool import Database
from index_store.gallery import Appended, Deleted, Gallery, GallerySpec, Removal
from index_store.gallery_lookup import FIND_GALLERY, find_gallery, gallery_from, possible_key
from index_store.progress import Progress, silent
from index_store.rows import copy_in
from index_store.selection import Selection
from index_store.vectors import NewVectors
from paddlewheel.errors import GalleryExists, GalleryNotFound, OperationMismatch

_CREATE = """
INSERT INTO galleries (key, dimension, metric, index_type, precision, model_fingerprint)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING id
"""

_START = """
BEGIN;
SELECT nextval('gallery_batch_ids'), ARRAY(SELECT nextval('gallery_vector_ids') FROM generate_series(1, %s))
"""

_FIND_OPERATION = """
SELECT kind, generation, request_digest, rows, first_id, ids, note FROM gallery_operations
WHERE gallery_id = %s AND operation_id = %s
"""

# One statement, so that the gallery's row is locked for one round trip less. No row comes back when the
# gallery is gone or the operation id is taken; which of the two, the caller finds out after rolling back.
_RECORD = """
WITH bumped AS (
    UPDATE galleries SET generation = generation + 1, live = live + %(change)s
    WHERE id = %(gallery)s RETURNING generation
)
INSERT INTO gallery_operations
    (batch_id, gallery_id, operation_id, kind, generation, request_digest, rows,
     first_id, last_id, ids, segments, note)
SELECT %(batch)s, %(gallery)s, %(operation)s, %(kind)s, generation, %(digest)s, %(rows)s,
       %(first)s, %(last)s, %(ids)s, %(segments)s::uuid[], %(note)s::jsonb
FROM bumped
ON CONFLICT (gallery_id, operation_id) DO NOTHING
RETURNING generation
"""

_LOCK_GALLERY = "SELECT generation FROM galleries WHERE id = %s FOR NO KEY UPDATE"

_DELETE_VECTORS = """
DELETE FROM gallery_vectors v USING gallery_operations o
WHERE v.gallery_id = %(gallery)s AND v.{column} = ANY(%(values)s) AND o.batch_id = v.batch_id
RETURNING v.id, o.generation
"""

_BURY = """
INSERT INTO gallery_tombstones (gallery_id, id, appended_generation, generation)
SELECT %s, id, appended, %s FROM unnest(%s::bigint[], %s::bigint[]) AS removed (id, appended)
"""

# Files that hold a removed vector, or are being built and may come to hold it.
_HOLDING_SEGMENTS = """
SELECT DISTINCT s.id::text FROM gallery_segments s
JOIN unnest(%s::bigint[]) AS removed (at) ON removed.at > s.low AND removed.at <= s.high
WHERE s.gallery_id = %s AND s.state <> 'deleted' AND (s.file IS NOT NULL OR s.state = 'building')
"""

_DELETE_GALLERY = """
WITH gone AS (DELETE FROM galleries WHERE key = %s RETURNING id, live),
dropped AS (
    UPDATE gallery_segments s SET state = 'dropped', dropped_at = clock_timestamp()
    FROM gone WHERE s.gallery_id = gone.id AND s.state IN ('building', 'live') RETURNING s.id
)
SELECT id, live, ARRAY(SELECT id::text FROM dropped) FROM gone
"""


class OperationLog:
    """Appends and removes. Each is one transaction: all of it is there after the commit, or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, key: str, spec: GallerySpec) -> Gallery:
        """A new empty gallery, or GalleryExists."""
        with self._database.transaction() as cursor:
            return _create(cursor, key, spec)

    def build(
        self,
        key: str,
        spec: GallerySpec,
        vectors: NewVectors,
        operation_id: str,
        progress: Progress = silent,
    ) -> Appended:
        """A new gallery with its first vectors, in one transaction; repeatable like `append`."""
        try:
            with self._database.transaction(_START % len(vectors)) as cursor:
                batch_id, ids = _row(cursor)
                gallery = _create(cursor, key, spec)
                return _append(cursor, gallery, vectors, operation_id, batch_id, ids, progress)
        except GalleryExists:
            gallery = find_gallery(self._database, key)
            found = self.find_append(gallery, operation_id, vectors.digest)
            if found is None:
                raise
        return found

    def append(self, gallery: Gallery, vectors: NewVectors, operation_id: str) -> Appended:
        """Store the vectors; a repeated operation id answers what it answered before."""
        try:
            with self._database.transaction(_START % len(vectors)) as cursor:
                batch_id, ids = _row(cursor)
                return _append(cursor, gallery, vectors, operation_id, batch_id, ids)
        except _NotRecordedError:
            found = self.find_append(gallery, operation_id, vectors.digest)
            if found is None:
                raise _deleted_meanwhile(gallery) from None
            return found

    def find_append(self, gallery: Gallery, operation_id: str, digest: bytes) -> Appended | None:
        """What an append or build answered when it was done, None where it was not; OperationMismatch."""
        stored = self._stored(gallery, operation_id, "append", digest)
        if stored is None:
            return None
        generation, ids, note = stored
        return Appended(operation_id=operation_id, generation=generation, ids=ids, repeated=True, note=note)

    def remove(self, gallery: Gallery, selection: Selection, operation_id: str) -> Removal:
        """Delete the rows with their embeddings and leave tombstones for files and other processes."""
        try:
            with self._database.transaction() as cursor:
                return _remove(cursor, gallery, selection, operation_id)
        except _NotRecordedError:
            stored = self._stored(gallery, operation_id, "remove", selection.digest)
            if stored is None:
                raise _deleted_meanwhile(gallery) from None
            return Removal(operation_id=operation_id, generation=stored[0], ids=stored[1], repeated=True)

    def delete(self, key: str) -> Deleted:
        """Delete the gallery with all that it holds."""
        with self._database.transaction() as cursor:
            cursor.execute(_DELETE_GALLERY, (possible_key(key),))
            row = cursor.fetchone()
            if row is None:
                raise GalleryNotFound(f"There is no gallery {key!r}.")
            for table in ("gallery_vectors", "gallery_tombstones", "gallery_operations"):
                cursor.execute(f"DELETE FROM {table} WHERE gallery_id = %s", (row[0],))  # noqa: S608
        return Deleted(key=key, vectors=row[1], segments=tuple(row[2]))

    def _stored(
        self, gallery: Gallery, operation_id: str, kind: str, digest: bytes
    ) -> tuple[int, tuple[int, ...], dict[str, Any] | None] | None:
        with self._database.cursor() as cursor:
            cursor.execute(_FIND_OPERATION, (gallery.id, operation_id))
            row = cursor.fetchone()
        if row is None:
            return None
        stored_kind, generation, stored_digest, rows, first_id, ids, note = row
        if stored_kind != kind or bytes(stored_digest) != digest:
            raise OperationMismatch(
                f"The operation id {operation_id!r} was used for another {stored_kind}: choose a new one."
            )
        return generation, operation_ids(rows, first_id, ids), note


def new_operation_id() -> str:
    """An id for callers who do not mean to repeat the operation."""
    return uuid.uuid4().hex


def operation_ids(rows: int, first_id: int | None, ids: Sequence[int] | None) -> tuple[int, ...]:
    """The ids of an operation, which are stored as a range where they are one."""
    if ids is not None:
        return tuple(ids)
    return tuple(range(first_id, first_id + rows)) if first_id is not None else ()


class _NotRecordedError(Exception):
    """Roll back: the operation was done before, or the gallery is gone."""


def _deleted_meanwhile(gallery: Gallery) -> GalleryNotFound:
    return GalleryNotFound(f"The gallery {gallery.key!r} was deleted meanwhile.")


def _create(cursor: Cursor, key: str, spec: GallerySpec) -> Gallery:
    cursor.execute(
        _CREATE,
        (key, spec.dimension, spec.metric, spec.index_type, spec.precision, spec.model_fingerprint),
    )
    if cursor.fetchone() is None:
        raise GalleryExists(f"A gallery {key!r} exists already: delete it first, or choose another key.")
    cursor.execute(FIND_GALLERY, (key,))
    return gallery_from(_row(cursor))


def _append(
    cursor: Cursor,
    gallery: Gallery,
    vectors: NewVectors,
    operation_id: str,
    batch_id: int,
    ids: Sequence[int],
    progress: Progress = silent,
) -> Appended:
    copy_in(cursor, gallery.id, batch_id, ids, vectors, progress)
    generation = _record(
        cursor,
        gallery,
        "append",
        operation_id,
        batch_id,
        vectors.digest,
        ids=ids,
        change=len(ids),
        note=vectors.note,
    )
    return Appended(operation_id=operation_id, generation=generation, ids=tuple(ids), note=vectors.note)


def _remove(cursor: Cursor, gallery: Gallery, selection: Selection, operation_id: str) -> Removal:
    # The lock comes first: then every append of a lower generation is committed and seen.
    cursor.execute(_LOCK_GALLERY, (gallery.id,))
    query = _DELETE_VECTORS.format(column=selection.column)
    cursor.execute(query, {"gallery": gallery.id, "values": selection.values})
    removed = sorted(cursor.fetchall())
    ids = [row[0] for row in removed]
    appended = [row[1] for row in removed]
    cursor.execute(_HOLDING_SEGMENTS, (sorted(set(appended)), gallery.id))
    segments = sorted(row[0] for row in cursor.fetchall())
    cursor.execute("SELECT nextval('gallery_batch_ids')")
    generation = _record(
        cursor,
        gallery,
        "remove",
        operation_id,
        _row(cursor)[0],
        selection.digest,
        ids=ids,
        change=-len(ids),
        segments=segments,
    )
    if ids:
        cursor.execute(_BURY, (gallery.id, generation, ids, appended))
    return Removal(operation_id=operation_id, generation=generation, ids=tuple(ids))


def _record(
    cursor: Cursor,
    gallery: Gallery,
    kind: str,
    operation_id: str,
    batch_id: int,
    digest: bytes,
    *,
    ids: Sequence[int],
    change: int,
    segments: Sequence[str] | None = None,
    note: Mapping[str, Any] | None = None,
) -> int:
    contiguous = not ids or max(ids) - min(ids) + 1 == len(ids)
    cursor.execute(
        _RECORD,
        {
            "gallery": gallery.id,
            "batch": batch_id,
            "operation": operation_id,
            "kind": kind,
            "digest": digest,
            "rows": len(ids),
            "first": min(ids, default=None),
            "last": max(ids, default=None),
            "ids": None if contiguous else list(ids),
            "segments": segments,
            "note": None if note is None else json.dumps(note),
            "change": change,
        },
    )
    row = cursor.fetchone()
    if row is None:
        raise _NotRecordedError
    return int(row[0])


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise AssertionError("the statement returns a row")
    return row
