"""Questions that Postgres answers while the process goes on: a search scans during the round trip."""

import os
import select
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names the class so

ANSWER_SECONDS: Final = 30.0
"""A server may hang with its connections open, which no keepalive notices. A question takes milliseconds."""


class QueryDispatcher:
    """Connections for one statement at a time that is sent without waiting for its answer.

    Threads share them: there are as many as ask at the same time. A child never uses its parent's.
    """

    def __init__(self, arguments: Mapping[str, Any], *, connect_timeout: int) -> None:
        self._arguments = arguments
        self._connect_timeout = connect_timeout
        self._idle: deque[_Line] = deque()
        self._pid = os.getpid()

    def send(self, statement: str, values: tuple[Any, ...]) -> "PendingQuery":
        """Send the statement; its parameters are `$1` and so on. Raises psycopg2's errors."""
        if self._pid != os.getpid():
            # psycopg2 does not say goodbye on a connection that another process made.
            self._idle, self._pid = deque(), os.getpid()
        try:
            line = self._idle.pop()
        except IndexError:
            connection = psycopg2.connect(**self._arguments, async_=1)
            _wait(connection, None, self._connect_timeout)
            line = _Line(connection)
        return PendingQuery(line, self._idle, statement, values)

    def close(self) -> None:
        """Close the connections that are idle now."""
        with suppress(IndexError):
            while True:
                self._idle.pop().connection.close()


class _Line:
    """A connection with what is made once for all its questions: cursor, poll and prepared statements."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ready = select.poll()
        self._cursor = connection.cursor()
        self._prepared: dict[str, str] = {}

    def send(self, statement: str, values: tuple[Any, ...]) -> None:
        """Postgres parses and plans a statement once for a connection, with the first question."""
        execute = self._prepared.get(statement)
        if execute is not None:
            self._cursor.execute(execute, values)
            return
        name = f"question_{len(self._prepared)}"
        execute = self._prepared[statement] = f"EXECUTE {name} ({', '.join(['%s'] * len(values))})"
        self._cursor.execute(f"PREPARE {name} AS {statement}; {execute}", values)

    def receive(self) -> tuple[Any, ...] | None:
        """The first row of the answer. One that takes too long costs the connection."""
        _wait(self.connection, self._ready, ANSWER_SECONDS)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row


class PendingQuery:
    """A statement whose answer is on the way."""

    def __init__(self, line: _Line, idle: deque[_Line], statement: str, values: tuple[Any, ...]) -> None:
        self._line = line
        self._idle = idle
        line.send(statement, values)

    def answer(self) -> tuple[Any, ...] | None:
        """Wait for the answer and return its first row; raises psycopg2's errors."""
        row = self._line.receive()
        self._idle.append(self._line)
        return row


def _wait(connection: Connection, kept: "select.poll | None", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (state := connection.poll()) != POLL_OK:
        ready = kept or select.poll()  # while it connects the socket may be another each time
        ready.register(connection.fileno(), select.POLLOUT if state == POLL_WRITE else select.POLLIN)
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            connection.close()
            raise psycopg2.OperationalError(f"no answer in {seconds:g} seconds")
