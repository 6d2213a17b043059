"""Connections to Postgres: a pool, transactions, and the one place where its errors are translated."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
import sqlalchemy
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names the class so
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy import create_engine
from sqlalchemy.pool import PoolProxiedConnection

from api_client.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InternalError,
    PaddlewheelError,
    SchemaOutdated,
)
from index_store.asking import Asker, Question

T = TypeVar("T")
_UNAVAILABLE = "The database cannot be reached ({}): repeat the call with the same operation id."


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
            connect_args={"connect_timeout": connect_timeout},
        )
        self._asker = Asker(
            self._engine.dialect.create_connect_args(address)[1],
            connect_timeout=connect_timeout,
        )
        self._pid = os.getpid()
        self._fork_lock = threading.Lock()

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()
        self._asker.close()

    @contextmanager
    def asked(self, statement: str, values: tuple[Any, ...]) -> Iterator[Question]:
        """Send one statement and go on; an answer that nobody waits for is thrown away."""
        try:
            yield self._asker.ask(statement, values)
        except psycopg2.Error as err:
            raise self._translated(err) from err

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
        try:
            yield pooled.dbapi_connection  # type: ignore[misc]
        except psycopg2.Error as err:
            if _is_lost(err):
                pooled.invalidate()
            raise self._translated(err) from err
        finally:
            pooled.close()

    def retrying(self, work: Callable[[], T]) -> T:
        """Do repeatable work; once more if the connection was lost, as after a restart of the server."""
        try:
            return work()
        except DatabaseUnavailable:
            return work()

    def _translated(self, err: psycopg2.Error) -> PaddlewheelError:
        if isinstance(err, psycopg2.errors.UndefinedTable):
            return SchemaOutdated(
                f"The database lacks this version's tables ({_first_line(err)}): run the migrations."
            )
        if not _is_lost(err):
            return InternalError(f"The database refused a statement: {_first_line(err)}.")
        self.close()
        return DatabaseUnavailable(_UNAVAILABLE.format(_first_line(err)))

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
    cursor.execute(begin)
    try:
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


def _is_lost(err: psycopg2.Error) -> bool:
    """Whether the connection went; for some ways of going psycopg2 raises the bare DatabaseError."""
    lost = (psycopg2.OperationalError, psycopg2.InterfaceError)
    return isinstance(err, lost) or type(err) is psycopg2.DatabaseError


def _first_line(err: BaseException) -> str:
    cause = getattr(err, "orig", None) or err
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
