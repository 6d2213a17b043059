"""The indexes of PaddleX's recognition services: what kind each is."""

from sqlalchemy import select

from database.pool import Database
from job_store.http_schema import HTTP_INDEXES


class HttpIndexes:
    """The table; `http_operations` adds to it. Raises DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def kind(self, key: str) -> str | None:
        """faces or images; None for an index that is not known."""
        with self._database.begin() as connection:
            return connection.execute(select(HTTP_INDEXES.c.kind).where(HTTP_INDEXES.c.key == key)).scalar()
