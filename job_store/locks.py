"""A lock in Postgres that one process holds at a time, as long as its connection lives."""

import threading
from contextlib import ExitStack
from typing import Final

from sqlalchemy import Connection, text

from job_store.database import Database
from paddlewheel.errors import DatabaseUnavailable

_PATIENCE: Final = 5.0
"""Seconds that giving it back waits for a server which does not answer; the lock ends with the process."""


class Lock:
    """An advisory lock on a connection of its own. Needs a session: no pooler that shares connections."""

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = number
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
                    self._let_go()
                    raise DatabaseUnavailable("The connection that held a lock was lost.") from err
                return True
            session = ExitStack()
            with session:
                connection = session.enter_context(self._database.session())
                asking = text("SELECT pg_try_advisory_lock(:number)")
                if connection.execute(asking, {"number": self._number}).scalar():
                    self._held = connection
                    self._session = session.pop_all()
            return self._held is not None

    def release(self) -> None:
        """Let another process have it. Bounded, also when the server does not answer."""
        if self._guard.acquire(timeout=_PATIENCE):
            try:
                self._let_go()
            finally:
                self._guard.release()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            # The session ends with the connection, and its locks with it.
            held.invalidate()
        self._session.close()
