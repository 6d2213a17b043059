"""What the gateway looks up about galleries itself, without a task: sizes and id maps are reads of rows."""

import asyncio
from datetime import datetime

from pydantic import BaseModel

from database.pool import Database as GalleryDatabase
from job_store.database import Database as JobDatabase
from job_store.http_indexes import HttpIndexes

_SIZE = "SELECT live FROM galleries WHERE key = %s"

# Numbers are external ids: see gateway/recognition.py.
_ID_MAP = """
SELECT v.external_id, v.label FROM gallery_vectors v JOIN galleries g ON g.id = v.gallery_id
WHERE g.key = %s AND v.external_id IS NOT NULL ORDER BY v.id
"""


_PAGE = """
SELECT key, dimension, metric, index_type, live, created_at FROM galleries
WHERE key > %s ORDER BY key LIMIT %s
"""


class GallerySummary(BaseModel):
    """A gallery in a list; describing it says more."""

    gallery: str
    dimension: int
    metric: str
    index_type: str
    vectors: int
    created_at: datetime


class IndexRegistry:
    """The indexes of PaddleX's recognition services."""

    def __init__(self, database_url: str, database: JobDatabase) -> None:
        self._galleries = GalleryDatabase(database_url, max_connections=4)
        self._table = HttpIndexes(database)

    def close(self) -> None:
        """Close the connections."""
        self._galleries.close()

    async def kind(self, key: str) -> str | None:
        """faces or images; None for an index that is not known."""
        return await asyncio.to_thread(self._table.kind, key)

    async def exists(self, key: str) -> bool:
        """Whether there is a gallery of that key."""
        return await asyncio.to_thread(self._size, key) is not None

    async def size(self, key: str) -> int:
        """Images in the index."""
        return await asyncio.to_thread(self._size, key) or 0

    async def id_map(self, key: str) -> dict[str, str]:
        """The label of every image by its number."""
        return await asyncio.to_thread(self._id_map, key)

    async def page(self, after: str, limit: int) -> list[GallerySummary]:
        """Galleries by key, from behind `after` on."""
        return await asyncio.to_thread(self._page, after, limit)

    def _page(self, after: str, limit: int) -> list[GallerySummary]:
        with self._galleries.cursor() as cursor:
            cursor.execute(_PAGE, (after, limit))
            names = tuple(GallerySummary.model_fields)
            return [GallerySummary(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def _size(self, key: str) -> int | None:
        with self._galleries.cursor() as cursor:
            cursor.execute(_SIZE, (key,))
            row = cursor.fetchone()
        return int(row[0]) if row else None

    def _id_map(self, key: str) -> dict[str, str]:
        with self._galleries.cursor() as cursor:
            cursor.execute(_ID_MAP, (key,))
            return dict(cursor.fetchall())
