"""Named locks in Postgres, each held by one process at a time, and only as long as its connection lives.

This module registers every number that the project locks. Numbers stay the same between versions, so that
processes of two versions exclude each other.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from typing import Final

from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - psycopg2 names the class so
from sqlalchemy import Connection, text

from database.pool import Database
from paddlewheel.errors import DatabaseUnavailable

_RELEASE_SECONDS: Final = 5.0
"""How long `release` waits for a server which does not answer; the lock ends with the process."""

_GALLERIES: Final = 0x5057 << 40


class LockName(IntEnum):
    """Locks of the whole database."""

    MIGRATION = 0x5061646477686C01
    DEAD_LETTER_FILING = 0x5061646477686C02
    GATEWAY_SWEEPER = 0x5061646477686C03
    BATCH_SCHEDULER = 0x5061646477686C04


def gallery_lock(gallery_id: int) -> int:
    """The lock under which one gallery's segments are written and deleted."""
    return _GALLERIES + gallery_id


def lock_transaction(connection: Connection, name: LockName) -> None:
    """Wait for the lock and hold it until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(name)})


@contextmanager
def try_lock(database: Database, number: int) -> Iterator[DriverConnection | None]:
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


class SessionLock:
    """A lock that a process holds on a connection of its own until it releases it.

    It needs a session: a pooler that shares connections between clients does not keep it.
    """

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = int(number)
        self._session = ExitStack()
        self._held: Connection | None = None
        self._guard = threading.Lock()

    def take(self) -> bool:
        """Whether this process holds it now. Raises DatabaseUnavailable."""
        with self._guard:
            if self._held is not None:
                try:
                    self._held.execute(text("SELECT 1"))
                except Exception as err:
                    self._end_session()
                    raise DatabaseUnavailable("The connection that held a lock was lost.") from err
                return True
            session = ExitStack()
            with session:
                connection = session.enter_context(self._database.session())
                statement = text("SELECT pg_try_advisory_lock(:number)")
                if connection.execute(statement, {"number": self._number}).scalar():
                    self._held = connection
                    self._session = session.pop_all()
            return self._held is not None

    def release(self) -> None:
        """Let another process have it. Bounded, also when the server does not answer."""
        if self._guard.acquire(timeout=_RELEASE_SECONDS):
            try:
                self._end_session()
            finally:
                self._guard.release()

    def _end_session(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            # The session ends with the connection, and its locks with it.
            held.invalidate()
        self._session.close()
