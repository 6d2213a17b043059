"""GalleryStore: galleries with their rows, segment files and searches, in one object per process."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from database.pool import Database
from index_store.exchange import ForeignType, ImportedVectors
from index_store.gallery import (
    Deleted,
    Embeddings,
    Gallery,
    IndexType,
    Level,
    Precision,
    SearchHit,
)
from index_store.gallery_rows import GalleryRows
from index_store.indexes import use_threads
from index_store.planning import SealingPolicy
from index_store.progress import Progress, silent
from index_store.reader import GalleryReaders
from index_store.records import with_details
from index_store.sealing import Sealed, Sealer, Step
from index_store.segment_folder import SegmentFiles
from index_store.transfer import export_gallery, import_gallery
from index_store.vectors import check_model, checked_embeddings
from index_store.verification import Verification, verify
from index_store.view import View
from paddlewheel.errors import DimensionMismatch, InvalidRequest

MAX_TOP_K = 1000


class GalleryStore(GalleryRows):
    """Galleries over one database and one place for segment files: their rows, and searching them.

    Safe to share between threads; make one per process. `threads` are FAISS's for one search.
    """

    def __init__(self, database: Database, files: SegmentFiles, *, threads: int = 1) -> None:
        super().__init__(database)
        self._files = files
        self._threads = threads
        self._readers = GalleryReaders(database, files)

    @property
    def files(self) -> SegmentFiles:
        """The place of the segment files."""
        return self._files

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
        label comes once. `details` adds external ids and metadata for one more query to Postgres.
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

    def delete(self, key: str) -> Deleted:
        """Delete the gallery with all its vectors; the next garbage collection deletes its files."""
        deleted = super().delete(key)
        self._readers.forget(key)  # not before, as a search in between would hold it again
        return deleted

    def verify(self, key: str, *, progress: Progress = silent) -> Verification:
        """Read every file and compare it with the rows; damaged ones are marked to be rebuilt."""

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
        """Write the whole gallery as few segments as possible, without any removed vector.

        None when another process seals this gallery. `Maintenance` does by itself whatever is due.
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
        return export_gallery(self, key, place, index_type=index_type, progress=progress)

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
        return import_gallery(
            self,
            key,
            place,
            precision=precision,
            index_type=index_type,
            model_fingerprint=model_fingerprint,
            operation_id=operation_id,
            progress=progress,
        )

    def view(self, key: str) -> View:
        """The gallery as it is now, in memory and mapped files."""
        return self._database.retrying(lambda: self._readers.current(key, lambda view: view))
