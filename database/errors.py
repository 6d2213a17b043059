"""The one place where Postgres's errors become the project's own, by who can act on them."""

from typing import Final

import psycopg2
import psycopg2.errors
import sqlalchemy.exc

from paddlewheel.errors import DatabaseUnavailable, InternalError, PaddlewheelError, SchemaOutdated

REPEAT: Final = "repeat the call, with the same operation id where it has one"

OPERATOR_ACTIONS: Final = {
    "53100": "make room on the database's disk",
    "53200": "give the database more memory",
    "57014": "find out who cancelled it, or raise the database's statement_timeout",
}
"""What an operator has to do before a statement is worth repeating, by SQLSTATE."""


def is_lost(err: psycopg2.Error) -> bool:
    """Whether the connection was lost; for some ways of losing it psycopg2 raises the bare DatabaseError."""
    code = err.pgcode
    if code is not None:  # connection exceptions; ended by the operator, a crash or a limit on idleness
        return code.startswith(("08", "57P")) or code == "25P03"
    lost = (psycopg2.OperationalError, psycopg2.InterfaceError)
    return isinstance(err, lost) or type(err) is psycopg2.DatabaseError


def connection_lost(err: BaseException) -> DatabaseUnavailable:
    """The error of a connection that was lost, or could not be made."""
    return DatabaseUnavailable(f"The database cannot be reached ({first_line(err)}): {REPEAT}.")


def statement_failed(err: psycopg2.Error) -> PaddlewheelError:
    """The error of a statement that failed on a connection which works."""
    line = first_line(err)
    if isinstance(err, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedColumn):
        return SchemaOutdated(
            f"The database lacks this version's tables ({line}): run the migrations with "
            "'paddlewheel gallery maintenance migrate', which brings all of them up to date."
        )
    if isinstance(err, psycopg2.OperationalError):
        action = OPERATOR_ACTIONS.get(err.pgcode or "")
        return DatabaseUnavailable(
            f"The database could not do a statement ({line}): {f'{action}, then ' if action else ''}{REPEAT}."
        )
    return InternalError(f"The database refused a statement: {line}.")


def convert_error(err: sqlalchemy.exc.SQLAlchemyError) -> PaddlewheelError | None:
    """The project's error for SQLAlchemy's; None for a fault of the code, such as a broken constraint."""
    if isinstance(err, sqlalchemy.exc.TimeoutError):
        return DatabaseUnavailable("The database is too slow: every connection has been busy for long.")
    if not isinstance(err, sqlalchemy.exc.DBAPIError) or not isinstance(err.orig, psycopg2.Error):
        return None
    if err.connection_invalidated or is_lost(err.orig):
        return connection_lost(err.orig)
    converted = statement_failed(err.orig)
    return None if isinstance(converted, InternalError) else converted


def first_line(err: BaseException) -> str:
    """The first line of what the server or the driver said."""
    cause = getattr(err, "orig", None) or err
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
