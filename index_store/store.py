"""GalleryStore: everything that one does with galleries, in one object per process."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from database.pool import Database
from index_store.exchange import ForeignType, ImportedVectors, export_folder, read_folder
from index_store.gallery import (
    Appended,
    Deleted,
    Description,
    Embeddings,
    Gallery,
    GallerySpec,
    IndexType,
    Level,
    Precision,
    Removal,
    SearchHit,
    VectorRecord,
    check_key,
)
from index_store.indexes import use_threads
from index_store.log import (
    FIND_GALLERY,
    LIST_GALLERIES,
    OperationLog,
    Selection,
    find_gallery,
    gallery_from,
    new_operation_id,
    possible_key,
)
from index_store.planning import SealingPolicy
from index_store.progress import Progress, silent
from index_store.reader import GalleryReaders, find_segments
from index_store.records import find_external, find_records, list_records, with_details
from index_store.remote_folder import folder_to_read, folder_to_write
from index_store.sealing import Sealed, Sealer, Step
from index_store.segment_folder import SegmentFiles
from index_store.vectors import check_model, checked_embeddings, is_storable, new_vectors
from index_store.verification import Verification, verify
from index_store.view import View
from paddlewheel.errors import DimensionMismatch, GalleryNotFound, InvalidRequest

MAX_TOP_K = 1000
MAX_PAGE = 10_000

_COUNTS = """
SELECT (SELECT count(*) FROM gallery_tombstones WHERE gallery_id = %(gallery)s),
       (SELECT coalesce(sum(rows), 0) FROM gallery_operations
        WHERE gallery_id = %(gallery)s AND kind = 'append' AND generation > %(sealed)s),
       (SELECT count(*) FROM gallery_tombstones
        WHERE gallery_id = %(gallery)s AND appended_generation > %(sealed)s)
"""


class GalleryStore:
    """Galleries over one database and one place for segment files.

    Every method may raise DatabaseUnavailable; one that names a gallery may raise GalleryNotFound. Safe to
    share between threads; make one per process. `threads` are FAISS's for one search.
    """

    def __init__(self, database: Database, files: SegmentFiles, *, threads: int = 1) -> None:
        self._database = database
        self._files = files
        self._threads = threads
        self._log = OperationLog(database)
        self._readers = GalleryReaders(database, files)

    @property
    def database(self) -> Database:
        """The database that the galleries live in."""
        return self._database

    @property
    def files(self) -> SegmentFiles:
        """The place of the segment files."""
        return self._files

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
        key: str,
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
            gallery = self.gallery(key)
            check_model(gallery.spec, model_fingerprint)
            vectors = new_vectors(gallery.spec, embeddings, labels, external_ids, metadata)
            vectors = replace(vectors, request_digest=request_digest, note=note)
            return self._log.append(gallery, vectors, operation)

        return self._database.retrying(work)

    def find_append(self, key: str, operation_id: str, request_digest: bytes) -> Appended | None:
        """What an append or build with that digest answered when it was done; None where it was not.

        Raises OperationMismatch for an id that was used for something else.
        """
        return self._log.find_append(self.gallery(key), _operation(operation_id), request_digest)

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

        In every index type; when this returns no search answers with them. Repeatable like `append`.
        """
        selection = Selection(ids=ids, labels=labels, external_ids=external_ids)
        operation = _operation(operation_id)
        return self._database.retrying(lambda: self._log.remove(self.gallery(key), selection, operation))

    def search(
        self,
        key: str,
        embeddings: npt.ArrayLike,
        *,
        top_k: int = 5,
        threshold: float | None = None,
        level: Level = "vector",
        details: bool = False,
        model_fingerprint: str | None = None,
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """The nearest vectors of each query of shape (n, dimension), best first.

        Every append and remove that had returned anywhere when this was called is seen. `threshold` is the
        lowest score for IP and the largest distance for L2, and holds for every hit. At label level each
        label comes once. `details` adds external ids and metadata for one more question to Postgres.
        """
        if not 1 <= top_k <= MAX_TOP_K:
            raise InvalidRequest(f"top_k is between 1 and {MAX_TOP_K}, not {top_k}.")
        if level not in get_args(Level):
            raise InvalidRequest(f"The level {level!r} is neither 'vector' nor 'label'.")
        if threshold is not None and math.isnan(threshold):
            raise InvalidRequest("The threshold is not a number.")

        def work(view: View) -> tuple[Gallery, tuple[tuple[SearchHit, ...], ...]]:
            check_model(view.gallery.spec, model_fingerprint)
            queries = np.ascontiguousarray(checked_embeddings(view.gallery.spec, embeddings))
            use_threads(self._threads)
            return view.gallery, view.search(queries, top_k, threshold, level)

        gallery, hits = self._database.retrying(lambda: self._readers.current(key, work))
        return with_details(self._database, gallery, hits) if details else hits

    def search_one(self, key: str, embedding: npt.ArrayLike, **options: Any) -> tuple[SearchHit, ...]:
        """`search` for a single query of shape (dimension,)."""
        query = np.asarray(embedding)
        if query.ndim != 1:
            raise DimensionMismatch(f"A single query has the shape (dimension,), not {query.shape}.")
        return self.search(key, query, **options)[0]

    def get(self, key: str, ids: Sequence[int]) -> tuple[VectorRecord, ...]:
        """The live vectors among these ids, ascending by id."""
        return find_records(self._database, self.gallery(key), ids)

    def find_external(self, key: str, external_ids: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The external id and the label of the live vectors that have one of these external ids."""
        return find_external(self._database, self.gallery(key), external_ids)

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

    def delete(self, key: str) -> Deleted:
        """Delete the gallery with all its vectors; its files go with the next garbage collection."""
        deleted = self._log.delete(key)
        self._readers.forget(key)  # not before, as a search in between would hold it again
        return deleted

    def verify(self, key: str, *, progress: Progress = silent) -> Verification:
        """Read every file and compare it with the rows; damaged ones are marked to be written anew."""

        def search(queries: Embeddings) -> tuple[tuple[SearchHit, ...], ...]:
            return self.search(key, queries, top_k=100)  # an approximate index looks further for these

        return verify(self._database, self._files, key, search, progress)

    def compact(
        self,
        key: str,
        *,
        policy: SealingPolicy | None = None,
        on_step: Callable[[Step], None] = lambda step: None,  # noqa: ARG005
    ) -> tuple[Sealed, ...] | None:
        """Write the whole gallery as few segments as may be, without any removed vector.

        None when another process is at this gallery. What is due is done by `Maintenance` without asking.
        """
        sealer = Sealer(
            database=self._database,
            files=self._files,
            policy=policy or SealingPolicy(),
            threads=self._threads,
            on_step=on_step,
        )
        return sealer.compact(key)

    def export_to(
        self,
        key: str,
        place: Path | str,
        *,
        index_type: ForeignType | None = None,
        progress: Progress = silent,
    ) -> int:
        """Write PaddleX's folder, whole or not at all; returns how many vectors it has.

        `place` is a new folder, or its URL in an object store. Without an `index_type` it is the gallery's,
        and `Flat` for `auto`. Raises GalleryFolderInvalid where there is a folder or a gallery already,
        SegmentStoreUnavailable, ConfigurationError.
        """
        gallery = self.gallery(key)
        with folder_to_write(place) as folder:
            return export_folder(self._database, gallery, folder, index_type=index_type, progress=progress)

    def import_from(
        self,
        key: str,
        place: Path | str,
        *,
        precision: Precision = "fp16",
        index_type: IndexType | None = None,
        model_fingerprint: str | None = None,
        operation_id: str | None = None,
        progress: Progress = silent,
    ) -> ImportedVectors:
        """A new gallery of the vectors in PaddleX's folder, which is at a path or an object store's URL.

        Its ids become external ids, so that `remove_ids.txt` still works. Repeatable like `build`. Raises
        GalleryFolderInvalid.
        """
        progress("read", 0, 1)
        with folder_to_read(place) as folder:
            found = read_folder(folder)
        spec = GallerySpec(
            dimension=found.embeddings.shape[1],
            metric=found.metric,
            index_type=index_type or found.index_type,
            precision=precision,
            model_fingerprint=model_fingerprint,
        )
        appended = self.build(
            key,
            spec,
            found.embeddings,
            found.labels,
            external_ids=[str(number) for number in found.ids.tolist()],
            operation_id=operation_id,
            progress=progress,
        )
        return ImportedVectors(appended=appended, spec=spec, repaired=found.repaired)

    def view(self, key: str) -> View:
        """The gallery as it is now, in memory and mapped files."""
        return self._database.retrying(lambda: self._readers.current(key, lambda view: view))


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
