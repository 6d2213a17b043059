"""How a command reaches the servers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import click

from paddlewheel.cli.console import report_errors
from paddlewheel.client import Client

Connect: TypeAlias = Callable[..., Client]
"""Makes a client from `broker_url`, `result_url` and `blob_url`; a test gives its own as click's obj."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def connection_options(command: _Command) -> _Command:
    """The servers' addresses, for any command."""
    for name, what in (("blob", "Where images are stored"), ("result", "Where results are kept")):
        option = click.option(
            f"--{name}s",
            f"{name}_url",
            metavar="URL",
            help=f"{what}; the broker's server unless given. [env: PADDLEWHEEL_{name.upper()}_URL]",
        )
        command = option(command)
    broker = click.option(
        "--broker",
        "broker_url",
        metavar="URL",
        help="The broker; else the servers that 'make up' started here. [env: PADDLEWHEEL_BROKER_URL]",
    )
    return broker(command)


@contextmanager
def connected(broker_url: str | None, result_url: str | None, blob_url: str | None) -> Iterator[Client]:
    """A client for the length of a command; a typed error ends the command with one line."""
    connect: Connect = click.get_current_context().obj or Client
    with (
        report_errors(),
        connect(broker_url=broker_url, result_url=result_url, blob_url=blob_url) as client,
    ):
        yield client
