"""Erasure: a removal with a receipt that says what went, when, and from which files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from index_store.gallery import Embeddings, Gallery
from index_store.gallery_rows import GalleryRows
from index_store.operation_log import operation_ids
from index_store.planning import SealingPolicy
from index_store.selection import Selection
from index_store.store import GalleryStore
from index_store.vectors import code_size, decode, is_storable
from paddlewheel.errors import InternalError, OperationNotFound

MAX_SEARCHED = 256
"""Embeddings that one erasure searches for at most."""

_FIND_EMBEDDINGS = """
SELECT id, embedding FROM gallery_vectors WHERE gallery_id = %s AND {column} = ANY(%s) ORDER BY id LIMIT %s
"""

_FIND_REMOVAL = """
SELECT generation, rows, first_id, ids, segments::text[], created_at, verified_at, note
FROM gallery_operations WHERE gallery_id = %s AND operation_id = %s AND kind = 'remove'
"""

_FIND_FILES = """
SELECT id::text, deleted_at FROM gallery_segments WHERE id = ANY(%s::uuid[]) ORDER BY id
"""

_STILL_STORED = """
SELECT id FROM gallery_vectors WHERE gallery_id = %s AND id = ANY(%s::bigint[]) ORDER BY id LIMIT 5
"""

# Only once: a later repeat has less to check than the first one had.
_MARK_VERIFIED = """
UPDATE gallery_operations
SET verified_at = clock_timestamp(), note = jsonb_build_object('searched', %s)
WHERE gallery_id = %s AND operation_id = %s AND kind = 'remove' AND verified_at IS NULL
"""


@dataclass(frozen=True, kw_only=True)
class ErasureReceipt:
    """What a removal erased.

    From `removed_at` on the rows are deleted in Postgres and no search answers with them; `verified_at` is
    when it was first seen that no row of these ids is stored, that no source of a search can answer with
    one, and that searches for `searched` of the erased embeddings did not. `searched` is 0 where the process
    ended before it had searched: a repeat no longer has the embeddings and checks the ids alone. It is None
    before the verification, and where that is older than this field. `segments` are the files that held the
    vectors, with the time when each was deleted. `purged_at` is the last of these times, None while a file
    is left, which is not later than `purge_by` while maintenance runs.
    """

    gallery: str
    operation_id: str
    generation: int
    ids: tuple[int, ...]
    removed_at: datetime
    verified_at: datetime | None
    searched: int | None
    segments: tuple[tuple[str, datetime | None], ...]
    purge_by: datetime
    purged_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Eraser:
    """Erases vectors. The policy has to be the one that maintenance runs with: it states the purge time."""

    store: GalleryStore
    policy: SealingPolicy

    def erase(self, key: str, selection: Selection, operation_id: str) -> ErasureReceipt:
        """Remove the selected vectors, check that no search finds them, and give the receipt. Repeatable."""
        gallery = self.store.gallery(key)
        stored = self._embeddings(gallery, selection)
        removed = self.store.remove(
            key,
            ids=selection.ids,
            labels=selection.labels,
            external_ids=selection.external_ids,
            operation_id=operation_id,
        )
        erased = frozenset(removed.ids)
        # A repeat finds none of them, or, by label or external id, those of vectors that came later.
        probes = [code for vector_id, code in stored if vector_id in erased]
        self._require_gone(gallery, erased, probes)
        with self.store.database.cursor() as cursor:
            cursor.execute(_MARK_VERIFIED, (len(probes), gallery.id, operation_id))
        return self.receipt(key, operation_id)

    def receipt(self, key: str, operation_id: str) -> ErasureReceipt:
        """The receipt of a removal as it stands now; raises OperationNotFound."""
        return read_receipt(self.store, self.policy, key, operation_id)

    def _embeddings(self, gallery: Gallery, selection: Selection) -> list[tuple[int, bytes]]:
        """The ids and stored embeddings of the first vectors that the selection names."""
        with self.store.database.cursor() as cursor:
            query = _FIND_EMBEDDINGS.format(column=selection.column)
            cursor.execute(query, (gallery.id, selection.values, MAX_SEARCHED))
            return [(vector_id, bytes(code)) for vector_id, code in cursor.fetchall()]

    def _require_gone(self, gallery: Gallery, ids: frozenset[int], probes: Sequence[bytes]) -> None:
        with self.store.database.cursor() as cursor:
            cursor.execute(_STILL_STORED, (gallery.id, sorted(ids)))
            found = {row[0] for row in cursor.fetchall()}
        found |= self.store.view(gallery.key).live(ids)
        if probes:
            answers = self.store.search(gallery.key, _decoded(gallery, probes), top_k=10)
            found |= {hit.id for hits in answers for hit in hits} & ids
        if found:
            raise InternalError(
                f"Removed vectors of {gallery.key!r} can still be found: {sorted(found)[:5]}."
            )


def read_receipt(rows: GalleryRows, policy: SealingPolicy, key: str, operation_id: str) -> ErasureReceipt:
    """The receipt of a removal as it stands now; raises OperationNotFound."""
    gallery = rows.gallery(key)
    with rows.database.cursor() as cursor:
        row = None
        if is_storable(operation_id):
            cursor.execute(_FIND_REMOVAL, (gallery.id, operation_id))
            row = cursor.fetchone()
        if row is None:
            raise OperationNotFound(f"The gallery {key!r} has no removal {operation_id!r}.")
        generation, count, first_id, ids, segments, removed_at, verified_at, note = row
        cursor.execute(_FIND_FILES, (segments or [],))
        files = tuple((found[0], found[1]) for found in cursor.fetchall())
    times = [deleted_at for _, deleted_at in files]
    purged = [removed_at, *(time for time in times if time is not None)]
    return ErasureReceipt(
        gallery=key,
        operation_id=operation_id,
        generation=generation,
        ids=operation_ids(count, first_id, ids),
        removed_at=removed_at,
        verified_at=verified_at,
        searched=(note or {}).get("searched"),
        segments=files,
        purge_by=removed_at + policy.purge_after + policy.grace,
        purged_at=None if None in times else max(purged),
    )


def _decoded(gallery: Gallery, codes: Sequence[bytes]) -> Embeddings:
    size = code_size(gallery.spec.dimension, gallery.spec.precision)
    return decode(np.frombuffer(b"".join(codes), np.uint8).reshape(-1, size), gallery.spec.precision)
