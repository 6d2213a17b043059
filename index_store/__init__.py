"""Galleries of embeddings: Postgres is the truth, FAISS files are rebuildable caches.

Importing the package itself loads neither FAISS nor SQLAlchemy; `open_store` does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from database.pool import Database
    from index_store.store import GalleryStore

__all__ = ["open_store"]


def open_store(
    database: "Database | str", segments: Path | str, copies: Path | None = None, *, threads: int = 1
) -> "GalleryStore":
    """The galleries of a database, given itself or by its address; see `index_store.opening`."""
    from index_store import opening

    return opening.open_store(database, segments, copies, threads=threads)
