"""GalleryRows: everything about galleries that Postgres does alone, without FAISS and without files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from database.pool import Database
from index_store.gallery import (
    Appended,
    Deleted,
    Description,
    Gallery,
    GallerySpec,
    GalleryTotals,
    Removal,
    VectorRecord,
    check_key,
)
from index_store.gallery_lookup import (
    FIND_GALLERY,
    GALLERY_COLUMNS,
    LIST_GALLERIES,
    find_gallery,
    gallery_from,
    possible_key,
)
from index_store.operation_log import OperationLog, new_operation_id
from index_store.progress import Progress, silent
from index_store.records import find_external, find_records, list_labels, list_records
from index_store.segment_rows import find_segments
from index_store.selection import Selection
from index_store.vectors import check_model, is_storable, new_vectors
from paddlewheel.errors import GalleryNotFound, InvalidRequest

MAX_PAGE = 10_000

_COUNTS = """
SELECT (SELECT count(*) FROM gallery_tombstones WHERE gallery_id = %(gallery)s),
       (SELECT coalesce(sum(rows), 0) FROM gallery_operations
        WHERE gallery_id = %(gallery)s AND kind = 'append' AND generation > %(sealed)s),
       (SELECT count(*) FROM gallery_tombstones
        WHERE gallery_id = %(gallery)s AND appended_generation > %(sealed)s)
"""

# A gallery lags while changes of it are in no segment file.
_TOTALS = """
SELECT count(*), coalesce(sum(live), 0), coalesce(max(generation - sealed_generation), 0) FROM galleries
"""

_LARGEST = f"""
SELECT {GALLERY_COLUMNS} FROM galleries g ORDER BY g.live DESC LIMIT %s
"""  # noqa: S608 - constants


class GalleryRows:
    """The galleries of one database. Safe to share between threads.

    Every method may raise DatabaseUnavailable and SchemaOutdated; one that names a gallery may raise
    GalleryNotFound. Methods that take a gallery's row save looking it up by its key.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = OperationLog(database)

    @property
    def database(self) -> Database:
        """The database that the galleries live in."""
        return self._database

    def create(self, key: str, spec: GallerySpec) -> Gallery:
        """A new empty gallery; raises GalleryExists."""
        return self._log.create(check_key(key), spec)

    def build(
        self,
        key: str,
        spec: GallerySpec,
        embeddings: npt.ArrayLike,
        labels: Sequence[str],
        *,
        external_ids: Sequence[str | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        operation_id: str | None = None,
        request_digest: bytes | None = None,
        note: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> Appended:
        """A new gallery with its first vectors, in one transaction; otherwise like `append`."""
        vectors = new_vectors(spec, embeddings, labels, external_ids, metadata)
        vectors = replace(vectors, request_digest=request_digest, note=note)
        operation = _operation(operation_id)
        return self._database.retrying(
            lambda: self._log.build(check_key(key), spec, vectors, operation, progress)
        )

    def append(
        self,
        key: str | Gallery,
        embeddings: npt.ArrayLike,
        labels: Sequence[str],
        *,
        external_ids: Sequence[str | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        model_fingerprint: str | None = None,
        operation_id: str | None = None,
        request_digest: bytes | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> Appended:
        """Add vectors of shape (n, dimension), all or none, durable when this returns.

        Give an `operation_id` to be able to repeat the call after DatabaseUnavailable: a repeated one
        changes nothing and answers what it answered before. Raises DimensionMismatch, VectorInvalid,
        ModelMismatch, and OperationMismatch for an id that was used for something else: for other rows, or
        where there is a `request_digest` for another one. `note` is kept with the operation.
        """
        operation = _operation(operation_id)

        def work() -> Appended:
            gallery = self._found(key)
            check_model(gallery.spec, model_fingerprint)
            vectors = new_vectors(gallery.spec, embeddings, labels, external_ids, metadata)
            vectors = replace(vectors, request_digest=request_digest, note=note)
            return self._log.append(gallery, vectors, operation)

        return self._database.retrying(work)

    def find_append(self, key: str | Gallery, operation_id: str, request_digest: bytes) -> Appended | None:
        """What an append or build with that digest answered when it was done; None where it was not.

        Raises OperationMismatch for an id that was used for something else.
        """
        return self._log.find_append(self._found(key), _operation(operation_id), request_digest)

    def remove(
        self,
        key: str,
        *,
        ids: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        external_ids: Sequence[str] | None = None,
        operation_id: str | None = None,
    ) -> Removal:
        """Delete the vectors that one of the three lists names; unknown ones are skipped.

        It works for every index type; once it returns, no search answers with them. Repeatable as `append`.
        """
        selection = Selection(ids=ids, labels=labels, external_ids=external_ids)
        operation = _operation(operation_id)
        return self._database.retrying(lambda: self._log.remove(self.gallery(key), selection, operation))

    def get(self, key: str, ids: Sequence[int]) -> tuple[VectorRecord, ...]:
        """The live vectors among these ids, ascending by id."""
        return find_records(self._database, self.gallery(key), ids)

    def find_external(self, key: str | Gallery, external_ids: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The external id and the label of the live vectors that have one of these external ids."""
        return find_external(self._database, self._found(key), external_ids)

    def list_vectors(self, key: str, *, after: int = 0, limit: int = 100) -> tuple[VectorRecord, ...]:
        """A page of the live vectors, ascending by id; give the last id as `after` for the next page."""
        return list_records(self._database, self.gallery(key), after, _page(limit))

    def list_galleries(self, *, after: str = "", limit: int = 100) -> tuple[Gallery, ...]:
        """A page of the galleries, ascending by key; give the last key as `after` for the next page."""
        if not is_storable(after):
            raise InvalidRequest("A page follows a gallery's key: give the last one of the page before.")
        with self._database.cursor() as cursor:
            cursor.execute(LIST_GALLERIES, (after, _page(limit)))
            return tuple(gallery_from(row) for row in cursor.fetchall())

    def gallery(self, key: str) -> Gallery:
        """The gallery's row; raises GalleryNotFound."""
        return find_gallery(self._database, key)

    def describe(self, key: str) -> Description:
        """What the gallery is made of, from Postgres alone."""
        with self._database.snapshot() as cursor:
            cursor.execute(FIND_GALLERY, (possible_key(key),))
            row = cursor.fetchone()
            if row is None:
                raise GalleryNotFound(f"There is no gallery {key!r}.")
            gallery = gallery_from(row)
            segments = find_segments(cursor, gallery, count_dead=True)
            cursor.execute(_COUNTS, {"gallery": gallery.id, "sealed": gallery.sealed_generation})
            tombstones, appended, removed = cursor.fetchone() or (0, 0, 0)
        return Description(
            gallery=gallery,
            segments=segments,
            unsealed=int(appended) - removed,
            tombstones=tombstones,
            file_bytes=sum(segment.bytes for segment in segments),
        )

    def labels(self, key: str) -> dict[str, str]:
        """The label of every live vector that has an external id, by that id."""
        return list_labels(self._database, self.gallery(key))

    def totals(self, *, largest: int) -> GalleryTotals:
        """How much there is in all galleries, and the rows of the `largest` ones."""
        with self._database.cursor() as cursor:
            cursor.execute(_TOTALS)
            galleries, vectors, unsealed = cursor.fetchone() or (0, 0, 0)
            cursor.execute(_LARGEST, (largest,))
            rows = tuple(gallery_from(row) for row in cursor.fetchall())
        return GalleryTotals(galleries=galleries, vectors=int(vectors), most_unsealed=unsealed, largest=rows)

    def delete(self, key: str) -> Deleted:
        """Delete the gallery with all its vectors; its files are deleted with the next garbage collection."""
        return self._log.delete(key)

    def _found(self, gallery: str | Gallery) -> Gallery:
        return self.gallery(gallery) if isinstance(gallery, str) else gallery


def _operation(operation_id: str | None) -> str:
    if operation_id is None:
        return new_operation_id()
    if not 1 <= len(operation_id) <= 200 or not is_storable(operation_id):
        raise InvalidRequest("An operation id is 1 to 200 characters of UTF-8 without a NUL.")
    return operation_id


def _page(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} rows, not {limit}.")
    return limit
