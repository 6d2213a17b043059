"""Connections to Postgres: a pool, transactions, and the one place where its errors are translated."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg2
import psycopg2.errors
import sqlalchemy
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names the class so
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy import create_engine
from sqlalchemy.pool import PoolProxiedConnection

from database.pending_queries import PendingQuery, QueryDispatcher
from paddlewheel.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InternalError,
    PaddlewheelError,
    SchemaOutdated,
)

T = TypeVar("T")
_UNAVAILABLE = "The database cannot be reached ({}): repeat the call with the same operation id."

CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
    "client_encoding": "utf8",
}
"""After half a minute a server that vanished without a word is noticed; else a statement waits for ever.

Labels are copied in as UTF-8, so that a database of another encoding has to be told what is sent.
"""

_OPERATORS: Final = {
    "53100": "make room on the database's disk",
    "53200": "give the database more memory",
    "57014": "find out who cancelled it, or raise the database's statement_timeout",
}
"""What an operator has to do before a statement is worth repeating, by SQLSTATE."""


def sqlalchemy_url(url: str) -> sqlalchemy.URL:
    """The URL with the driver that is used, whatever driver it names. Raises ConfigurationError."""
    try:
        return sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
    except sqlalchemy.exc.ArgumentError as err:
        raise ConfigurationError(
            "The database address is not one such as postgresql://user:password@host:5432/name."
        ) from err


class Database:
    """A pool of connections in autocommit mode, so that a lone SELECT costs one round trip.

    Threads share it. Up to `max_connections` are used for transactions at a time, who comes later waits;
    each thread that searches at the same time takes one more, for its question. Make it after a fork, or let
    it notice: a child never uses its parent's connections.
    """

    def __init__(self, url: str, *, max_connections: int = 16, connect_timeout: int = 10) -> None:
        if max_connections < 2:
            raise ConfigurationError(
                "A database needs 2 connections: a sealer holds its lock on one of them."
            )
        address = sqlalchemy_url(url)
        self._engine = create_engine(
            address,
            isolation_level="AUTOCOMMIT",
            pool_size=max_connections,
            max_overflow=0,
            connect_args={"connect_timeout": connect_timeout, **CONNECTION_OPTIONS},
        )
        self._asker = QueryDispatcher(
            {**self._engine.dialect.create_connect_args(address)[1], **CONNECTION_OPTIONS},
            connect_timeout=connect_timeout,
        )
        self._pid = os.getpid()
        self._fork_lock = threading.Lock()

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()
        self._asker.close()

    @contextmanager
    def asked(self, statement: str, values: tuple[Any, ...]) -> Iterator[PendingQuery]:
        """Send one statement and go on; an answer that nobody waits for is thrown away."""
        try:
            yield self._asker.ask(statement, values)
        except psycopg2.Error as err:
            raise self._translated(err, lost=_is_lost(err)) from err

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor whose statements commit one by one."""
        with self.connection() as connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[Cursor]:
        """A cursor whose statements commit together, or not at all."""
        with self.cursor() as cursor, transaction_on(cursor, begin):
            yield cursor

    @contextmanager
    def snapshot(self) -> Iterator[Cursor]:
        """A read-only cursor whose statements all see one moment."""
        with self.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as cursor:
            yield cursor

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the pool; one that was lost is thrown away with all that are idle."""
        pooled = self._checkout()
        connection: Connection = pooled.dbapi_connection  # type: ignore[assignment]
        try:
            yield connection
        except psycopg2.Error as err:
            lost = bool(connection.closed) or _is_lost(err)
            if lost:
                pooled.invalidate()
            raise self._translated(err, lost=lost) from err
        finally:
            pooled.close()

    def retrying(self, work: Callable[[], T]) -> T:
        """Do repeatable work; once more after a deadlock, or a lost connection as by a restart of the server.

        What waits for an operator, such as a full disk, is not done again.
        """
        try:
            return work()
        except DatabaseUnavailable as err:
            if getattr(err.__cause__, "pgcode", None) in _OPERATORS:
                raise
            return work()

    def _translated(self, err: psycopg2.Error, *, lost: bool) -> PaddlewheelError:
        if lost:
            self.close()
            return DatabaseUnavailable(_UNAVAILABLE.format(_first_line(err)))
        return _refused(err)

    def _checkout(self) -> PoolProxiedConnection:
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._engine.dispose(close=False)
                    self._pid = os.getpid()
        try:
            return self._engine.raw_connection()
        except (sqlalchemy.exc.SQLAlchemyError, psycopg2.Error) as err:
            raise DatabaseUnavailable(_UNAVAILABLE.format(_first_line(err))) from err


@contextmanager
def transaction_on(cursor: Cursor, begin: str = "BEGIN") -> Iterator[None]:
    """Statements that commit together on a connection that one holds."""
    try:
        cursor.execute(begin)  # more than BEGIN may be in it, and fail inside the transaction
        yield
    except BaseException:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


@contextmanager
def advisory_lock(database: Database, number: int) -> Iterator[Connection | None]:
    """The connection that holds the lock, or None when another holds it. A lost connection frees it."""
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (number,))
        row = cursor.fetchone()
        if row is None or not row[0]:
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.closed:
                cursor.execute("SELECT pg_advisory_unlock(%s)", (number,))


def _refused(err: psycopg2.Error) -> PaddlewheelError:
    """What to raise for a statement that failed on a connection which works."""
    line = _first_line(err)
    if isinstance(err, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedColumn):
        return SchemaOutdated(
            f"The database lacks this version's tables ({line}): run the migrations with "
            "'paddlewheel gallery migrate', which brings all of them up to date."
        )
    if isinstance(err, psycopg2.OperationalError):
        first = _OPERATORS.get(err.pgcode or "")
        return DatabaseUnavailable(
            f"The database could not do a statement ({line}): {f'{first}, then ' if first else ''}"
            "repeat the call with the same operation id."
        )
    return InternalError(f"The database refused a statement: {line}.")


def _is_lost(err: psycopg2.Error) -> bool:
    """Whether the connection went; for some ways of going psycopg2 raises the bare DatabaseError."""
    code = err.pgcode
    if code is not None:  # connection exceptions; ended by the operator, a crash or a limit on idleness
        return code.startswith(("08", "57P")) or code == "25P03"
    lost = (psycopg2.OperationalError, psycopg2.InterfaceError)
    return isinstance(err, lost) or type(err) is psycopg2.DatabaseError


def _first_line(err: BaseException) -> str:
    cause = getattr(err, "orig", None) or err
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
