"""The stored vectors as records: by id, in pages, and the details of hits on demand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from database.pool import Database
from index_store.gallery import Gallery, SearchHit, VectorRecord
from index_store.selection import possible_ids, possible_texts
from index_store.vectors import decode

_LIST_LABELS = """
SELECT external_id, label FROM gallery_vectors
WHERE gallery_id = %s AND external_id IS NOT NULL ORDER BY id
"""

_GET = """
SELECT id, label, external_id, metadata, embedding FROM gallery_vectors
WHERE gallery_id = %s AND id = ANY(%s::bigint[]) ORDER BY id
"""

_PAGE = """
SELECT id, label, external_id, metadata, embedding FROM gallery_vectors
WHERE gallery_id = %s AND id > %s ORDER BY id LIMIT %s
"""

_DETAILS = """
SELECT id, external_id, metadata FROM gallery_vectors WHERE gallery_id = %s AND id = ANY(%s::bigint[])
"""

_FIND_EXTERNAL = """
SELECT DISTINCT external_id, label FROM gallery_vectors
WHERE gallery_id = %s AND external_id = ANY(%s) ORDER BY external_id, label
"""


def find_records(database: Database, gallery: Gallery, ids: Sequence[int]) -> tuple[VectorRecord, ...]:
    """The live vectors among these ids, ascending by id."""
    return _records(database, gallery, _GET, (gallery.id, possible_ids(ids)))


def list_records(database: Database, gallery: Gallery, after: int, limit: int) -> tuple[VectorRecord, ...]:
    """The first live vectors above that id, ascending by id."""
    return _records(database, gallery, _PAGE, (gallery.id, after, limit))


def find_external(
    database: Database, gallery: Gallery, external_ids: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """The external id and the label of the live vectors that have one of these external ids."""
    with database.cursor() as cursor:
        cursor.execute(_FIND_EXTERNAL, (gallery.id, possible_texts(external_ids)))
        return tuple((row[0], row[1]) for row in cursor.fetchall())


def with_details(
    database: Database, gallery: Gallery, hits: tuple[tuple[SearchHit, ...], ...]
) -> tuple[tuple[SearchHit, ...], ...]:
    """The hits with external ids and metadata; those removed since the search have none and are left out."""
    wanted = sorted({hit.id for query in hits for hit in query})
    with database.cursor() as cursor:
        cursor.execute(_DETAILS, (gallery.id, wanted))
        details = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
    return tuple(
        tuple(
            hit._replace(external_id=details[hit.id][0], metadata=details[hit.id][1])
            for hit in query
            if hit.id in details
        )
        for query in hits
    )


def _records(
    database: Database, gallery: Gallery, query: str, values: tuple[Any, ...]
) -> tuple[VectorRecord, ...]:
    with database.cursor() as cursor:
        cursor.execute(query, values)
        rows = cursor.fetchall()
    return tuple(
        VectorRecord(
            id=row[0],
            label=row[1],
            external_id=row[2],
            metadata=row[3],
            embedding=decode(np.frombuffer(row[4], np.uint8), gallery.spec.precision),
        )
        for row in rows
    )


def list_labels(database: Database, gallery: Gallery) -> dict[str, str]:
    """The label of every live vector that has an external id, by that id."""
    with database.cursor() as cursor:
        cursor.execute(_LIST_LABELS, (gallery.id,))
        return dict(cursor.fetchall())
