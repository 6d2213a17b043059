"""Queries whose answers are read later: a search scans its index during the round trip."""

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
"""A server may hang with its connections open, which no keepalive notices. A query takes milliseconds."""


class QueryDispatcher:
    """Connections for statements that are sent without waiting, one at a time on each.

    There are as many as threads that query at the same time. A forked child never uses its parent's.
    """

    def __init__(self, arguments: Mapping[str, Any], *, connect_timeout: int) -> None:
        self._arguments = arguments
        self._connect_timeout = connect_timeout
        self._idle: deque[_QueryConnection] = deque()
        self._pid = os.getpid()

    def send(self, statement: str, values: tuple[Any, ...]) -> "PendingQuery":
        """Send the statement, whose parameters are `$1` and so on. Raises psycopg2's errors."""
        if self._pid != os.getpid():
            # psycopg2 leaves a connection alone that another process made.
            self._idle, self._pid = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            raw = psycopg2.connect(**self._arguments, async_=1)
            _wait(raw, None, self._connect_timeout)
            connection = _QueryConnection(raw)
        return PendingQuery(connection, self._idle, statement, values)

    def close(self) -> None:
        """Close the connections that are idle now."""
        with suppress(IndexError):
            while True:
                self._idle.pop().connection.close()


class _QueryConnection:
    """A connection with what all its queries share: cursor, poll and prepared statements."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ready = select.poll()
        self._cursor = connection.cursor()
        self._prepared: dict[str, str] = {}

    def send(self, statement: str, values: tuple[Any, ...]) -> None:
        """Send a statement. Postgres parses and plans it once for a connection, the first time."""
        execute = self._prepared.get(statement)
        if execute is not None:
            self._cursor.execute(execute, values)
            return
        name = f"query_{len(self._prepared)}"
        execute = self._prepared[statement] = f"EXECUTE {name} ({', '.join(['%s'] * len(values))})"
        self._cursor.execute(f"PREPARE {name} AS {statement}; {execute}", values)

    def receive(self) -> tuple[Any, ...] | None:
        """The first row of the answer. The connection is closed when it takes too long."""
        _wait(self.connection, self._ready, ANSWER_SECONDS)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row


class PendingQuery:
    """A statement that was sent and whose answer is still to be read."""

    def __init__(
        self,
        connection: _QueryConnection,
        idle: deque[_QueryConnection],
        statement: str,
        values: tuple[Any, ...],
    ) -> None:
        self._connection = connection
        self._idle = idle
        connection.send(statement, values)

    def receive(self) -> tuple[Any, ...] | None:
        """Wait for the answer and return its first row; raises psycopg2's errors."""
        row = self._connection.receive()
        self._idle.append(self._connection)
        return row


def _wait(connection: Connection, kept: "select.poll | None", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (state := connection.poll()) != POLL_OK:
        ready = kept or select.poll()  # while it connects, the socket may change each time
        ready.register(connection.fileno(), select.POLLOUT if state == POLL_WRITE else select.POLLIN)
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            connection.close()
            raise psycopg2.OperationalError(f"no answer in {seconds:g} seconds")
