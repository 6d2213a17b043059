"""`python -m local`: the servers and workers of one machine, up and down."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from local import control
from local.checkout import CHECKOUT
from local.child import tail
from local.plan import SERVICES, StackRequest
from local.servers import Servers
from local.stack import LocalStack
from local.state import ServiceStatus, StackState, StateFolder
from local.supervisor import Supervisor
from paddlewheel.errors import ConfigurationError, PaddlewheelError

Command = Callable[..., Any]


class ErrorReportingGroup(click.Group):
    """Shows Paddlewheel's errors as sentences, not as tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PaddlewheelError as err:
            raise click.ClickException(err.message) from err


def with_root(command: Command) -> Command:
    option = click.option(
        "--root",
        "folder",
        default=CHECKOUT,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        callback=lambda _context, _option, root: StateFolder(root),
        help="The folder that holds .paddlewheel; the checkout by default.",
    )
    return option(command)


def with_choice(command: Command) -> Command:
    """The options that say what to run."""
    for option in (
        click.option("--only", metavar="NAMES", help=f"Services to run, of {','.join(SERVICES)}."),
        click.option("--no-flower", is_flag=True, help="Do not run Flower."),
        click.option("--workers", type=click.IntRange(min=1), default=1, help="Number of workers."),
    ):
        command = option(command)
    return command


@click.group(cls=ErrorReportingGroup)
def main() -> None:
    """Run the servers and workers of one machine.

    Set PADDLEWHEEL_BROKER_URL or PADDLEWHEEL_DATABASE_URL to use your own servers.
    """


@main.command()
@with_root
@with_choice
@click.option("--wait/--no-wait", default=True, help="Wait until every service is ready.")
def up(folder: StateFolder, workers: int, no_flower: bool, only: str | None, wait: bool) -> None:
    """Start the services in the background."""
    _up(folder, _wanted(workers, no_flower, only), Console(highlight=False), wait)


def _up(folder: StateFolder, wanted: StackRequest, console: Console, wait: bool = True) -> None:
    if folder.in_use():
        _join(folder, wanted, console)
        return
    choice = [
        "--root",
        str(folder.root),
        f"--workers={wanted.workers}",
        f"--only={','.join(wanted.services)}",
    ]
    starting = control.start(folder, choice, os.environ)
    if not wait:
        console.print(f"Starting {', '.join(wanted.names())}; 'status' shows the progress.")
        return
    try:
        state = starting.wait(lambda name, status: _show_ready(console, name, status))
    except KeyboardInterrupt:
        control.stop(folder)
        raise
    for note in state.notes:
        console.print(note, soft_wrap=True)
    if "flower" in state.services:
        console.print(f"Flower's user and password are in {folder.connection_file}.", soft_wrap=True)


@main.command(hidden=True)
@with_root
@with_choice
def supervise(folder: StateFolder, workers: int, no_flower: bool, only: str | None) -> None:
    """Run the stack in the foreground."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    wanted = _wanted(workers, no_flower, only)
    stack = LocalStack(
        folder.root, services=wanted.services, workers=workers, servers=wanted.servers, environment=os.environ
    )
    Supervisor(stack, logging.getLogger("local.supervisor")).run()


@main.command()
@with_root
def down(folder: StateFolder) -> None:
    """Stop the services that `up` started."""
    stopped = control.stop(folder)
    click.echo(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


@main.command()
@with_root
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(context: click.Context, folder: StateFolder, as_json: bool) -> None:
    """Show the services; the exit code is 0 if all are ready."""
    state = folder.read() if folder.in_use() else StackState()
    if as_json:
        click.echo(json.dumps({name: _row(each) for name, each in state.services.items()}, indent=1))
    elif state.services:
        _show_table(state)
    else:
        click.echo("Nothing is running: start it with 'make up'.")
    ready = state.ready and all(each.phase == "ready" for each in state.services.values())
    context.exit(0 if ready else 1)


@main.command()
@click.argument("name")
@click.option("--lines", type=click.IntRange(min=1), default=100, show_default=True)
@with_root
def logs(folder: StateFolder, name: str, lines: int) -> None:
    """Show the end of a service's log."""
    names = sorted(log.stem for log in folder.logs.glob("*.log"))
    if name not in names:
        raise ConfigurationError(f"There is no log of {name}; existing logs: {', '.join(names) or 'none'}.")
    click.echo(tail(folder.log(name), lines))


@main.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("output"),
    show_default=True,
    help="Where the pictures go.",
)
def demo(output: Path) -> None:
    """Start every service of this checkout, and run the demo."""
    from local.demo import run

    console = Console(highlight=False)
    _up(StateFolder(CHECKOUT), _wanted(workers=1, no_flower=False, only=None), console)
    run(console, output)


def _wanted(workers: int, no_flower: bool, only: str | None) -> StackRequest:
    if only and no_flower:
        raise click.UsageError("--only already lists the services: leave --no-flower out.")
    services = frozenset(only.split(",") if only else SERVICES) - ({"flower"} if no_flower else set())
    return StackRequest(services=services, workers=workers, servers=Servers.named_in(os.environ))


def _join(folder: StateFolder, wanted: StackRequest, console: Console) -> None:
    state = control.wait_for_other(folder)
    missing = [name for name in wanted.names() if name not in state.services]
    if missing:
        raise ConfigurationError(
            f"A stack without {', '.join(missing)} is running: stop it with 'make down', and start again."
        )
    console.print(f"Already running: {', '.join(state.services)}.")


def _show_ready(console: Console, name: str, status: ServiceStatus) -> None:
    console.print(f"[green]ready[/] {name:<10} {status.address:<28} {status.seconds:.2f} s")


def _row(status: ServiceStatus) -> dict[str, Any]:
    return {
        "phase": status.phase,
        "address": status.address,
        "pid": status.process.pid if status.process else None,
        "seconds": status.seconds,
        "restarts": status.restarts,
    }


def _show_table(state: StackState) -> None:
    table = Table("service", "phase", "address", "pid", "started in s", "restarts", box=None)
    for name, each in state.services.items():
        table.add_row(name, *(str(value) for value in _row(each).values()))
    Console().print(table)


if __name__ == "__main__":
    main(prog_name="python -m local")
