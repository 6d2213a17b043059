"""What the commands over these tables share: the database that they open, and errors told as one line."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from database.pool import Database
from paddlewheel.cli.connection import show_error
from paddlewheel.errors import CallerError, ConfigurationError, PaddlewheelError
from paddlewheel.wire.addresses import local_connection

_Command = TypeVar("_Command", bound=Callable[..., Any])


def database_option(command: _Command) -> _Command:
    """The database's address, for a group of commands; they get it as `database_url`."""
    option = click.option(
        "--database-url",
        envvar="PADDLEWHEEL_DATABASE_URL",
        help="Postgres; in a checkout the one that 'make up' started.",
    )
    return option(command)


def find_database(database_url: str | None) -> str | None:
    """The address that was given, or that of the servers started here."""
    return database_url or local_connection(Path.cwd()).get("database_url")


def open_database(context: click.Context, database_url: str | None) -> Database:
    """The database until the command ends. Raises ConfigurationError where none is known."""
    url = find_database(database_url)
    if not url:
        raise ConfigurationError("Give --database-url, or set PADDLEWHEEL_DATABASE_URL.")
    database = Database(url)
    context.with_resource(ExitStack()).callback(database.close)
    return database


@contextmanager
def told() -> Iterator[None]:
    """A typed error as one line: exit status 1 where the caller can act, 2 where the operator can."""
    try:
        yield
    except PaddlewheelError as err:
        show_error(err.code, err.message)
        click.get_current_context().exit(1 if isinstance(err, CallerError) else 2)
