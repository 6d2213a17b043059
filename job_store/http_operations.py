"""Builds and additions of PaddleX's indexes while they are under way, and a while longer.

A gateway may be killed at any moment of one, and PaddleX's clients know no idempotency key. So a change is a
row before its first task: what is sent again is known by it, gets the same index, the same numbers and the
same operation ids, and is done once. `index_store` answers a repeated operation id as it did before.

open     not concluded: its gateway works on it, or is gone
done     concluded, and being answered; a build's key may be known to its caller from now on
dropped  a build that failed: nobody knows its key, and what there is of its gallery has to go
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from api_client.errors import GalleryNotFound, IdempotencyMismatch
from job_store.database import Database
from job_store.http_schema import HTTP_INDEXES, HTTP_OPERATIONS

_O = HTTP_OPERATIONS.c


@dataclass(frozen=True, kw_only=True)
class NewOperation:
    """What to do. `identity` is what a repeat has in common with it, `digest` tells other requests apart.

    `kind` (faces or images) is that of a new index; else `index_key` names one that there is. `images` are
    to be numbered. `kept`: a repeat is known even when this one was answered.
    """

    id: str
    identity: str
    digest: str
    index_key: str
    kind: str | None
    images: int
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One under way. `attempt` counts those who work on it from 1; `done`: an earlier one concluded it."""

    id: str
    index_key: str
    first_number: int
    attempt: int
    done: bool


class HttpOperations:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, new: NewOperation) -> Operation:
        """Note it with its index and its numbers, or join the one that it repeats.

        Raises GalleryNotFound, and IdempotencyMismatch if its identity stands for another request.
        """
        values = {
            "id": new.id,
            "identity": new.identity,
            "digest": new.digest,
            "index_key": new.index_key,
            "builds": new.kind is not None,
            "kept": new.kept,
        }
        adding = upsert(HTTP_OPERATIONS).values(values)
        joining = {"attempts": _O.attempts + 1, "touched_at": func.now()}
        noting = adding.on_conflict_do_update(index_elements=[_O.identity], set_=joining)
        with self._database.transaction() as connection:
            row = connection.execute(noting.returning(HTTP_OPERATIONS)).one()
            if row.digest != new.digest:
                raise IdempotencyMismatch("The idempotency key was used for another request: take a new one.")
            first = row.first_number if row.attempts > 1 else _numbered(connection, new)
        return Operation(
            id=row.id,
            index_key=row.index_key,
            first_number=first,
            attempt=row.attempts,
            done=row.state == "done",
        )

    def conclude(self, operation: Operation) -> bool:
        """All of it is stored; whether its index is still there: it goes with a build that is dropped.

        The operation itself may be gone: another attempt was answered.
        """
        change = update(HTTP_OPERATIONS).where(_O.id == operation.id, _O.state != "dropped")
        index = select(HTTP_INDEXES.c.key).where(HTTP_INDEXES.c.key == operation.index_key)
        with self._database.transaction() as connection:
            connection.execute(change.values(state="done", touched_at=func.now()))
            return connection.execute(index).first() is not None

    def answered(self, operation: Operation) -> None:
        """Its caller has the answer: the same request is another one from now on, unless it is kept."""
        gone = delete(HTTP_OPERATIONS).where(_O.id == operation.id, _O.state == "done", ~_O.kept)
        with self._database.transaction() as connection:
            connection.execute(gone)

    def drop(self, operation: Operation) -> bool:
        """Give a build up, unless it was concluded or another attempt goes on; whether it is."""
        mine = (_O.id == operation.id) & (_O.attempts == operation.attempt) & (_O.state == "open")
        with self._database.transaction() as connection:
            return bool(_dropped(connection, mine))

    def abandon(self, *, seconds: float) -> int:
        """Give up the builds that nobody has worked on for so long; how many."""
        old = (_O.state == "open") & _O.builds & (_O.touched_at < _ago(seconds))
        with self._database.transaction() as connection:
            return len(_dropped(connection, old))

    def dropped(self, *, seconds: float, limit: int = 100) -> list[tuple[str, str]]:
        """Ids and keys of builds that were given up at least so long ago, and not looked at since."""
        old = (_O.state == "dropped") & (_O.touched_at < _ago(seconds))
        query = select(_O.id, _O.index_key).where(old).order_by(_O.touched_at).limit(limit)
        with self._database.transaction() as connection:
            return [(row.id, row.index_key) for row in connection.execute(query)]

    def look_again(self, operation_id: str) -> None:
        """Let a build that was given up be looked at once more, after the same time."""
        change = update(HTTP_OPERATIONS).where(_O.id == operation_id).values(touched_at=func.now())
        with self._database.transaction() as connection:
            connection.execute(change)

    def forget(self, operation_id: str) -> None:
        """Nothing is left of a build that was given up."""
        with self._database.transaction() as connection:
            connection.execute(delete(HTTP_OPERATIONS).where(_O.id == operation_id))

    def purge(self, *, seconds: float, kept_seconds: float) -> None:
        """Forget what nobody is going to send again; a concluded build keeps its index."""
        old = (~_O.kept & (_O.touched_at < _ago(seconds))) | (_O.touched_at < _ago(kept_seconds))
        open_build = (_O.state == "open") & _O.builds
        with self._database.transaction() as connection:
            connection.execute(delete(HTTP_OPERATIONS).where(old, _O.state != "dropped", ~open_build))


def _numbered(connection: Connection, new: NewOperation) -> int:
    """The first number of its images. No number is given twice."""
    if new.kind is not None:
        index = {"key": new.index_key, "kind": new.kind, "next_number": new.images}
        connection.execute(insert(HTTP_INDEXES).values(index))
        return 0
    following = HTTP_INDEXES.c.next_number + new.images
    counting = update(HTTP_INDEXES).where(HTTP_INDEXES.c.key == new.index_key)
    after = connection.execute(
        counting.values(next_number=following).returning(HTTP_INDEXES.c.next_number)
    ).scalar()
    if after is None:
        raise GalleryNotFound(f"There is no index {new.index_key!r}.")
    first = int(after) - new.images
    connection.execute(update(HTTP_OPERATIONS).where(_O.id == new.id).values(first_number=first))
    return first


def _dropped(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    change = update(HTTP_OPERATIONS).where(which)
    change = change.values(state="dropped", identity=None, touched_at=func.now())
    keys: list[Any] = list(connection.execute(change.returning(_O.index_key)).scalars())
    if keys:
        connection.execute(delete(HTTP_INDEXES).where(HTTP_INDEXES.c.key.in_(keys)))
    return keys


def _ago(seconds: float) -> ColumnElement[datetime]:
    return func.now() - text("make_interval(secs => :age)").bindparams(age=seconds)
