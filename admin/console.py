"""The database of an operator's command: its option, its address, and a pool that ends with the command.

Help, JSON, errors and exit codes are those of the client's commands: `paddlewheel.cli.console`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import click

from database.pool import Database
from paddlewheel.errors import ConfigurationError
from paddlewheel.wire.addresses import local_connection

_Command = TypeVar("_Command", bound=Callable[..., Any])


def database_option(command: _Command) -> _Command:
    """The database's address, for a group of commands; they get it as `database_url`."""
    option = click.option(
        "--database-url",
        metavar="URL",
        envvar="PADDLEWHEEL_DATABASE_URL",
        help="Postgres; else the one that 'make up' started here. [env: PADDLEWHEEL_DATABASE_URL]",
    )
    return option(command)


def find_database(database_url: str | None) -> str | None:
    """The address that was given, or that of the servers started here."""
    return database_url or local_connection(Path.cwd()).get("database_url")


def require_database(database_url: str | None) -> str:
    """The same. Raises ConfigurationError where no database is known."""
    url = find_database(database_url)
    if not url:
        raise ConfigurationError(
            "No database: give --database-url, set PADDLEWHEEL_DATABASE_URL, or run 'make up' in a checkout."
        )
    return url


def open_database(context: click.Context, database_url: str | None) -> Database:
    """The database until the command ends. Raises ConfigurationError where none is known."""
    database = Database(require_database(database_url))
    context.with_resource(ExitStack()).callback(database.close)
    return database
