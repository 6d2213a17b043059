"""How every command talks to a terminal or a program: its help, its JSON and its errors.

Results are on stdout, everything else on stderr. With `--json` stdout has JSON and nothing else. An error is
one line, `error[code]: sentence`, with and without `--json`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NoReturn

import click

from paddlewheel.cli.exit_codes import ExitCode, exit_code
from paddlewheel.errors import PaddlewheelError

CONTEXT_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Of every group that is a program's first."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, on one line.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


@contextmanager
def report_errors() -> Iterator[None]:
    """End the command with one line on stderr and the error's exit code; works as a decorator too."""
    try:
        yield
    except PaddlewheelError as err:
        for note in getattr(err, "__notes__", ()):
            click.echo(note, err=True)
        show_error(err.code, err.message)
        end(exit_code(err))
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        end(ExitCode.INTERRUPTED)


def show_error(code: str, message: str) -> None:
    """One line on stderr, for people and for scripts."""
    click.echo(f"error[{code}]: {' '.join(message.split())}", err=True)


def end(code: ExitCode) -> NoReturn:
    """End the command with this exit code."""
    click.get_current_context().exit(code)


def print_json(value: object, *, indent: int | None = None) -> None:
    """One JSON document, on one line unless an `indent` is given."""
    click.echo(json.dumps(value, default=_to_text, ensure_ascii=False, indent=indent))


def print_object(value: object, *, as_json: bool) -> None:
    """A result that people read as JSON too: indented for them, on one line with `--json`."""
    print_json(value, indent=None if as_json else 2)


def _to_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
