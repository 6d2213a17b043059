"""Builds and additions of PaddleX's indexes that are in progress or were just answered.

A gateway may be killed at any moment, and PaddleX's clients send no idempotency key. So each change has a row
before its first task, with the number of its gateway and the id of the request that it serves. A gateway
holds a lock with its number while it lives. The next equal request takes over what a dead gateway has left,
and gets the same index, the same image numbers and the same operation ids. `index_store` answers a repeated
operation id as it did before, so the work is done once. The request that took a change over last decides
its outcome.

open     not concluded: its gateway works on it, or is dead
done     concluded, and being answered; a build's key may be known to its caller from now on
dropped  a build that failed: nobody knows its key, and its gallery has to be deleted
"""

import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from database.clock import ago
from database.locks import SessionLock
from database.pool import Database
from job_store.http_schema import HTTP_INDEXES, HTTP_OPERATIONS
from paddlewheel.errors import GalleryNotFound, IdempotencyMismatch

NOBODY: Final = 0
"""The number of no gateway: any equal request may take the operation over."""

_O = HTTP_OPERATIONS.c

# How Postgres shows a lock of 64 bits is in its manual, at pg_locks.
_ALIVE: Final = text("""EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = http_operations.gateway
)""")


@dataclass(frozen=True, kw_only=True)
class NewOperation:
    """What to do. `id` is the request's own; a repeat has the same `identity`, and `digest` distinguishes
    other requests.

    `kind` (faces or images) is that of a new index; else `index_key` names one that there is. `images` are
    to be numbered. `kept`: the caller's own key stands for it, also after it was answered.
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
    """One in progress. `claim` is the id of the request that has it; `done`: it was concluded before and is
    answered again.
    """

    id: str
    index_key: str
    first_number: int
    done: bool
    kept: bool
    claim: str


class HttpOperations:
    """The table, as one gateway sees it; `close` lets others take over what it has left.

    `patience` is the seconds after which an operation may be taken over even though its gateway holds its
    lock: a machine may vanish silently. Methods raise DatabaseUnavailable and SchemaOutdated.
    """

    def __init__(self, database: Database, *, patience: float) -> None:
        self._database = database
        self._gateway = secrets.randbelow(2**62) + 1
        self._lock = SessionLock(database, self._gateway)
        self._patience = patience

    def live(self) -> None:
        """Show that this gateway lives. Call it repeatedly: a connection may be lost."""
        self._lock.take()

    def close(self) -> None:
        """Show that this gateway has ended."""
        self._lock.release()

    def begin(self, new: NewOperation) -> Operation:
        """Record it with its index and its image numbers, or take over the one that it repeats.

        Raises GalleryNotFound, and IdempotencyMismatch if its key stands for another request.
        """
        with self._database.begin() as connection:
            row = self._join(connection, new) if new.kept else self._take_over(connection, new)
            if row.digest != new.digest:
                raise IdempotencyMismatch("The idempotency key was used for another request: take a new one.")
            first = _take_numbers(connection, new) if row.id == new.id else row.first_number
        return Operation(
            id=row.id,
            index_key=row.index_key,
            first_number=first,
            done=row.state == "done",
            kept=row.kept,
            claim=row.claim,
        )

    def conclude(self, operation: Operation) -> bool:
        """Record that all of it is stored; False if it was dropped or taken over meanwhile."""
        change = update(HTTP_OPERATIONS).where(
            _O.id == operation.id, _O.state != "dropped", or_(_O.kept, self._mine(operation))
        )
        return self._changes_one(change.values(state="done", touched_at=func.now()))

    def mark_answered(self, operation: Operation) -> None:
        """Forget it, as its caller has the answer: an equal request is a new one, unless it is kept."""
        mine = (_O.id == operation.id) & self._mine(operation)
        with self._database.begin() as connection:
            connection.execute(delete(HTTP_OPERATIONS).where(mine, _O.state == "done", ~_O.kept))

    def release(self, operation: Operation) -> None:
        """Let the next equal request take it over: nobody was answered."""
        change = update(HTTP_OPERATIONS).where(_O.id == operation.id, self._mine(operation))
        self._changes_one(change.values(gateway=NOBODY, touched_at=func.now()))

    def drop(self, operation: Operation) -> bool:
        """Give a build up, unless it was concluded or taken over; whether it was given up."""
        mine = (_O.id == operation.id) & self._mine(operation)
        with self._database.begin() as connection:
            return bool(_drop(connection, mine & (_O.state == "open")))

    def abandon(self, *, seconds: float) -> int:
        """Give up builds of dead gateways that nobody took over for that many seconds; how many."""
        old = (_O.state == "open") & _O.builds & (_O.touched_at < ago(seconds)) & self._orphaned
        with self._database.begin() as connection:
            return len(_drop(connection, old))

    def list_dropped(self, *, seconds: float, limit: int = 100) -> list[tuple[str, str]]:
        """Ids and keys of builds that were given up at least so long ago, and not looked at since."""
        old = (_O.state == "dropped") & (_O.touched_at < ago(seconds))
        query = select(_O.id, _O.index_key).where(old).order_by(_O.touched_at).limit(limit)
        with self._database.begin() as connection:
            return [(row.id, row.index_key) for row in connection.execute(query)]

    def look_again(self, operation_id: str) -> None:
        """Have a build that was given up returned by `list_dropped` once more, after the same time."""
        self._changes_one(update(HTTP_OPERATIONS).where(_O.id == operation_id).values(touched_at=func.now()))

    def forget(self, operation_id: str) -> None:
        """Delete the row of a build that was given up, as nothing else is left of it."""
        with self._database.begin() as connection:
            connection.execute(delete(HTTP_OPERATIONS).where(_O.id == operation_id))

    def purge(self, *, kept_seconds: float) -> None:
        """Delete rows whose requests nobody will repeat; a concluded build keeps its index."""
        old = (~_O.kept & (_O.touched_at < ago(self._patience))) | (_O.touched_at < ago(kept_seconds))
        open_build = (_O.state == "open") & _O.builds
        with self._database.begin() as connection:
            connection.execute(delete(HTTP_OPERATIONS).where(old, _O.state != "dropped", ~open_build))

    def _mine(self, operation: Operation) -> ColumnElement[bool]:
        return (_O.gateway == self._gateway) & (_O.claim == operation.claim)

    @property
    def _orphaned(self) -> ColumnElement[bool]:
        return or_(text(f"NOT {_ALIVE.text}"), _O.touched_at < ago(self._patience))

    def _join(self, connection: Connection, new: NewOperation) -> Row[Any]:
        return connection.execute(
            upsert(HTTP_OPERATIONS)
            .values(self._values(new))
            .on_conflict_do_update(
                index_elements=[_O.identity],
                index_where=text("kept AND state <> 'dropped'"),
                set_={"gateway": self._gateway, "claim": new.id, "touched_at": func.now()},
            )
            .returning(HTTP_OPERATIONS)
        ).one()

    def _take_over(self, connection: Connection, new: NewOperation) -> Row[Any]:
        # A concluded build's key may be known to its caller: nobody else gets it.
        left = or_(_O.state == "open", (_O.state == "done") & ~_O.builds)
        equal = (_O.identity == new.identity) & ~_O.kept & left & self._orphaned
        oldest = select(_O.id).where(equal).order_by(_O.touched_at).limit(1)
        found = connection.execute(oldest.with_for_update(skip_locked=True)).scalar()
        if found is None:
            adding = insert(HTTP_OPERATIONS).values(self._values(new))
            return connection.execute(adding.returning(HTTP_OPERATIONS)).one()
        change = update(HTTP_OPERATIONS).where(_O.id == found)
        change = change.values(gateway=self._gateway, claim=new.id, touched_at=func.now())
        return connection.execute(change.returning(HTTP_OPERATIONS)).one()

    def _values(self, new: NewOperation) -> dict[str, Any]:
        return {
            "id": new.id,
            "identity": new.identity,
            "digest": new.digest,
            "index_key": new.index_key,
            "builds": new.kind is not None,
            "kept": new.kept,
            "gateway": self._gateway,
            "claim": new.id,
        }

    def _changes_one(self, change: Any) -> bool:
        with self._database.begin() as connection:
            return connection.execute(change).rowcount == 1


def _take_numbers(connection: Connection, new: NewOperation) -> int:
    """The first number of its images. No number is used twice."""
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


def _drop(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    change = update(HTTP_OPERATIONS).where(which)
    change = change.values(state="dropped", touched_at=func.now())
    keys: list[str] = list(connection.execute(change.returning(_O.index_key)).scalars())
    if keys:
        connection.execute(delete(HTTP_INDEXES).where(HTTP_INDEXES.c.key.in_(keys)))
    return keys
