"""Connections to Postgres: one pool a process, for the statements of every store.

`index_store` works with psycopg2's cursors, for COPY and for the shortest round trips; `job_store` with
SQLAlchemy's connections. Both come from the same pool, and errors are converted in one place.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg2
import sqlalchemy
from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - psycopg2 names the class so
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names the class so
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import PoolProxiedConnection

from database.errors import OPERATOR_ACTIONS, connection_lost, convert_error, is_lost, statement_failed
from database.pending_queries import PendingQuery, QueryDispatcher
from paddlewheel.errors import ConfigurationError, DatabaseUnavailable, PaddlewheelError

T = TypeVar("T")

CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
    "client_encoding": "utf8",
}
"""A server that vanished silently is noticed after half a minute; otherwise a statement waits indefinitely.

Labels are copied in as UTF-8, so a database of another encoding has to know what is sent.
"""


def sqlalchemy_url(url: str) -> sqlalchemy.URL:
    """The URL with the driver that is used, whatever driver it names. Raises ConfigurationError."""
    try:
        return sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
    except sqlalchemy.exc.ArgumentError as err:
        raise ConfigurationError(
            "The database address is not one such as postgresql://user:password@host:5432/name."
        ) from err


class Database:
    """A pool of connections, shared by the threads of a process.

    At most `max_connections` are in use at a time; when all are, callers block for up to `pool_timeout`
    seconds. Each thread that searches at the same time takes one more, for its pending query. A forked child
    never uses its parent's connections.
    """

    def __init__(
        self, url: str, *, max_connections: int = 16, connect_timeout: int = 10, pool_timeout: float = 30
    ) -> None:
        address = sqlalchemy_url(url)
        self._engine = create_engine(
            address,
            isolation_level="AUTOCOMMIT",  # a lone SELECT costs one round trip
            pool_size=max_connections,
            max_overflow=0,
            pool_timeout=pool_timeout,
            connect_args={"connect_timeout": connect_timeout, **CONNECTION_OPTIONS},
        )
        self._queries = QueryDispatcher(
            {**self._engine.dialect.create_connect_args(address)[1], **CONNECTION_OPTIONS},
            connect_timeout=connect_timeout,
        )
        self._pid = os.getpid()
        self._fork_lock = threading.Lock()

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()
        self._queries.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """SQLAlchemy's connection in a transaction: its statements commit together, or not at all."""
        with self._connect() as connection, _autocommit_off(connection), connection.begin():
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """SQLAlchemy's connection whose statements commit one by one, for locks."""
        with self._connect() as connection:
            yield connection

    @contextmanager
    def query(self, statement: str, values: tuple[Any, ...]) -> Iterator[PendingQuery]:
        """Send one statement without waiting; an answer that nobody waits for is discarded."""
        try:
            yield self._queries.send(statement, values)
        except psycopg2.Error as err:
            raise self._convert(err, lost=is_lost(err)) from err

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
    def connection(self) -> Iterator[DriverConnection]:
        """A connection of the pool; one that was lost is discarded with all that are idle."""
        pooled = self._checkout()
        connection: DriverConnection = pooled.dbapi_connection  # type: ignore[assignment]
        try:
            yield connection
        except psycopg2.Error as err:
            lost = bool(connection.closed) or is_lost(err)
            if lost:
                pooled.invalidate()
            raise self._convert(err, lost=lost) from err
        finally:
            pooled.close()

    def retrying(self, work: Callable[[], T]) -> T:
        """Do repeatable work; once more after a deadlock or a lost connection, as when the server restarts.

        A fault that waits for an operator, such as a full disk, is not tried again.
        """
        try:
            return work()
        except DatabaseUnavailable as err:
            if getattr(err.__cause__, "pgcode", None) in OPERATOR_ACTIONS:
                raise
            return work()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        self._notice_fork()
        try:
            with self._engine.connect() as connection:
                if not _answers(connection):
                    # A restart of the server ends the idle connections too; the next use takes a new one.
                    self.close()
                    connection.invalidate()
                yield connection
        except sqlalchemy.exc.SQLAlchemyError as err:
            converted = convert_error(err)
            if converted is None:
                raise
            raise converted from err

    def _convert(self, err: psycopg2.Error, *, lost: bool) -> PaddlewheelError:
        if lost:
            self.close()
            return connection_lost(err)
        return statement_failed(err)

    def _checkout(self) -> PoolProxiedConnection:
        self._notice_fork()
        try:
            return self._engine.raw_connection()
        except (sqlalchemy.exc.SQLAlchemyError, psycopg2.Error) as err:
            raise connection_lost(err) from err

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._engine.dispose(close=False)
                    self._pid = os.getpid()


@contextmanager
def transaction_on(cursor: Cursor, begin: str = "BEGIN") -> Iterator[None]:
    """Statements that commit together on a connection that the caller holds."""
    try:
        cursor.execute(begin)  # more than BEGIN may be in it, and fail inside the transaction
        yield
    except BaseException:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


def _answers(connection: Connection) -> bool:
    """Ping a connection of the pool before its first statement: not every piece of work is repeatable."""
    try:
        return connection.dialect.do_ping(connection.connection.dbapi_connection)  # type: ignore[arg-type]
    except psycopg2.Error:
        return False


@contextmanager
def _autocommit_off(connection: Connection) -> Iterator[None]:
    """Let psycopg2 begin a transaction with the next statement.

    SQLAlchemy's isolation levels would do the same for two more round trips.
    """
    driver: Any = connection.connection.dbapi_connection
    driver.autocommit = False
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = True
