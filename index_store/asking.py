"""Questions that Postgres answers while the process goes on: a search scans during the round trip."""

import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names the class so


class Asker:
    """Connections for one statement at a time that is sent without waiting for its answer.

    Threads share them: there are as many as ask at the same time. A child never uses its parent's.
    """

    def __init__(self, arguments: Mapping[str, Any], *, connect_timeout: int) -> None:
        self._arguments = arguments
        self._connect_timeout = connect_timeout
        self._idle: deque[Connection] = deque()
        self._pid = os.getpid()

    def ask(self, statement: str, values: tuple[Any, ...]) -> "Question":
        """Send the statement; raises psycopg2's errors."""
        if self._pid != os.getpid():
            # psycopg2 does not say goodbye on a connection that another process made.
            self._idle, self._pid = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = psycopg2.connect(**self._arguments, async_=1)
            _wait(connection, self._connect_timeout)
        return Question(connection, statement, values, self._idle.append)

    def close(self) -> None:
        """Close the connections that are idle now."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()


class Question:
    """A statement whose answer is on the way."""

    def __init__(
        self,
        connection: Connection,
        statement: str,
        values: tuple[Any, ...],
        give_back: Callable[[Connection], None],
    ) -> None:
        self._connection = connection
        self._give_back = give_back
        self._cursor = connection.cursor()
        self._cursor.execute(statement, values)

    def answer(self) -> tuple[Any, ...] | None:
        """Wait for the answer and return its first row; raises psycopg2's errors."""
        _wait(self._connection)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        self._give_back(self._connection)
        return row


def _wait(connection: Connection, seconds: float | None = None) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    while (state := connection.poll()) != POLL_OK:
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLOUT if state == POLL_WRITE else select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not ready.poll(None if left is None else left * 1000):
            connection.close()
            raise psycopg2.OperationalError(f"no answer in {seconds} seconds")
