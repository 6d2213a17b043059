"""The indexes of PaddleX's recognition services: what kind each is, and how its images are numbered."""

from sqlalchemy import insert, select, update

from job_store.database import Database
from job_store.http_schema import HTTP_INDEXES


class HttpIndexes:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, key: str, kind: str) -> None:
        """Note a new index."""
        with self._database.transaction() as connection:
            connection.execute(insert(HTTP_INDEXES).values(key=key, kind=kind))

    def kind(self, key: str) -> str | None:
        """faces or images; None for an index that is not known."""
        with self._database.transaction() as connection:
            return connection.execute(select(HTTP_INDEXES.c.kind).where(HTTP_INDEXES.c.key == key)).scalar()

    def count_up(self, key: str, numbers: int) -> int:
        """Take so many numbers for new images; the first of them. No number is given twice."""
        change = (
            update(HTTP_INDEXES)
            .where(HTTP_INDEXES.c.key == key)
            .values(next_number=HTTP_INDEXES.c.next_number + numbers)
            .returning(HTTP_INDEXES.c.next_number)
        )
        with self._database.transaction() as connection:
            return int(connection.execute(change).scalar_one()) - numbers

    def drop(self, key: str) -> None:
        """Forget an index."""
        with self._database.transaction() as connection:
            connection.execute(HTTP_INDEXES.delete().where(HTTP_INDEXES.c.key == key))
