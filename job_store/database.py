"""Transactions on Postgres, and the one place where its errors are translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy
from psycopg2.errors import UndefinedColumn, UndefinedTable
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from paddlewheel.errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated

_VANISHED: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
"""After half a minute a server that vanished without a word is noticed; else a query waits for ever."""


class Database:
    """A small pool of connections; one that was lost is replaced before it is used. Make it after a fork."""

    def __init__(
        self, url: str, *, max_connections: int = 4, connect_timeout: int = 5, pool_timeout: float = 30
    ) -> None:
        try:
            address = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
        except sqlalchemy.exc.ArgumentError as err:
            raise ConfigurationError(
                "The database address is not one such as postgresql://user:password@host:5432/name."
            ) from err
        self._engine = create_engine(
            address,
            pool_size=max_connections,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_pre_ping=True,
            connect_args={"connect_timeout": connect_timeout, **_VANISHED},
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Statements that commit together, or not at all. Raises DatabaseUnavailable, SchemaOutdated."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection whose statements commit one by one, for locks. Raises as `transaction` does."""
        with _translated(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as err:
        if not isinstance(err.orig, (UndefinedColumn, UndefinedTable)):
            raise
        raise SchemaOutdated(
            "The database lacks this version's tables: run 'paddlewheel gallery migrate', which brings "
            "all of them up to date."
        ) from err
    except PoolTimeout as err:
        raise DatabaseUnavailable(
            "The database is too slow: every connection has been busy for long."
        ) from err
    except DBAPIError as err:
        if not isinstance(err, sqlalchemy.exc.OperationalError) and not err.connection_invalidated:
            raise
        line = (str(err.orig).strip().splitlines() or ["no reason given"])[0]
        raise DatabaseUnavailable(f"The database cannot be reached: {line}") from err
