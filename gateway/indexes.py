"""What the gateway reads of galleries itself, without a task: lists, sizes and id maps are reads of rows."""

import asyncio
from datetime import datetime

from pydantic import BaseModel

from database.pool import Database
from index_store.gallery import Gallery
from index_store.gallery_rows import GalleryRows
from job_store.http_indexes import HttpIndexes
from paddlewheel.errors import GalleryNotFound


class GallerySummary(BaseModel):
    """A gallery in a list; describing it says more."""

    gallery: str
    dimension: int
    metric: str
    index_type: str
    vectors: int
    created_at: datetime


class IndexRegistry:
    """The galleries, and the indexes of PaddleX's recognition services among them."""

    def __init__(self, database: Database) -> None:
        self._rows = GalleryRows(database)
        self._table = HttpIndexes(database)

    async def kind(self, key: str) -> str | None:
        """faces or images; None for an index that is not known."""
        return await asyncio.to_thread(self._table.kind, key)

    async def exists(self, key: str) -> bool:
        """Whether there is a gallery of that key."""
        return await asyncio.to_thread(self._size, key) is not None

    async def size(self, key: str) -> int:
        """Images in the index; 0 where there is none."""
        return await asyncio.to_thread(self._size, key) or 0

    async def id_map(self, key: str) -> dict[str, str]:
        """The label of every image by its number, which is its external id (see gateway/recognition.py)."""
        return await asyncio.to_thread(self._id_map, key)

    async def page(self, after: str, limit: int) -> list[GallerySummary]:
        """Galleries by key, the first one behind `after`."""
        rows = await asyncio.to_thread(self._rows.list_galleries, after=after, limit=limit)
        return [_summary(row) for row in rows]

    def _size(self, key: str) -> int | None:
        try:
            return self._rows.gallery(key).live
        except GalleryNotFound:
            return None

    def _id_map(self, key: str) -> dict[str, str]:
        try:
            return self._rows.labels(key)
        except GalleryNotFound:
            return {}


def _summary(gallery: Gallery) -> GallerySummary:
    return GallerySummary(
        gallery=gallery.key,
        dimension=gallery.spec.dimension,
        metric=gallery.spec.metric,
        index_type=gallery.spec.index_type,
        vectors=gallery.live,
        created_at=gallery.created_at,
    )
