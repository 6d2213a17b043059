"""Galleries by their keys: the columns of their rows, and the values that are made of them."""

from collections.abc import Sequence
from typing import Any

from database.pool import Database
from index_store.gallery import Gallery, GallerySpec, check_key
from paddlewheel.errors import GalleryNotFound, InvalidRequest

GALLERY_COLUMNS = """g.id, g.key, g.dimension, g.metric, g.index_type, g.precision, g.model_fingerprint,
    g.generation, g.sealed_generation, g.live, g.created_at"""

FIND_GALLERY = f"SELECT {GALLERY_COLUMNS} FROM galleries g WHERE g.key = %s"  # noqa: S608 - constants

LIST_GALLERIES = f"""
SELECT {GALLERY_COLUMNS} FROM galleries g WHERE g.key > %s ORDER BY g.key LIMIT %s
"""  # noqa: S608


def find_gallery(database: Database, key: str) -> Gallery:
    """The gallery of that key, or GalleryNotFound."""
    with database.cursor() as cursor:
        cursor.execute(FIND_GALLERY, (possible_key(key),))
        row = cursor.fetchone()
    if row is None:
        raise GalleryNotFound(f"There is no gallery {key!r}.")
    return gallery_from(row)


def possible_key(key: str) -> str:
    """The key itself, or GalleryNotFound for what is no key: not all of that can be asked of Postgres."""
    try:
        return check_key(key)
    except InvalidRequest as err:
        raise GalleryNotFound(f"There is no gallery {key!r}.") from err


def gallery_from(row: Sequence[Any]) -> Gallery:
    """The gallery of a row with the columns of FIND_GALLERY."""
    spec = GallerySpec(
        dimension=row[2], metric=row[3], index_type=row[4], precision=row[5], model_fingerprint=row[6]
    )
    return Gallery(
        id=row[0],
        key=row[1],
        spec=spec,
        generation=row[7],
        sealed_generation=row[8],
        live=row[9],
        created_at=row[10],
    )
