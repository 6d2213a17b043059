"""Commands that only the server has, and what all commands have in common."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from paddlewheel.cli import main
from paddlewheel.cli.console import report_errors
from paddlewheel.cli.exit_codes import EXIT_CODES, ExitCode, exit_code
from paddlewheel.cli.server_commands import SERVER_COMMANDS, ServerCommand
from paddlewheel.errors import ERRORS, CallerError, ConfigurationError


def commands(group: click.Group, path: str = "paddlewheel") -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, those of the server among them."""
    for name, each in group.commands.items():
        found = each.load() if isinstance(each, ServerCommand) else each
        if isinstance(found, click.Group):
            yield from commands(found, f"{path} {name}")
        else:
            yield f"{path} {name}", found


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", ["batch", "dead", "keys", "models"])
def test_a_command_of_the_server_is_listed_with_what_it_does(name: str) -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert f"  {name} " in shown


def test_a_client_without_the_server_says_where_it_is() -> None:
    command = ServerCommand("ghosts", module="nowhere.cli", subject="Ghosts are kept", text="Keep ghosts.")
    refused = CliRunner().invoke(command, ["list", "--json"])
    assert refused.exit_code == 2
    assert "Ghosts are kept where the server is" in refused.stderr


@pytest.mark.parametrize("command", SERVER_COMMANDS, ids=lambda command: command.name)
def test_every_group_of_the_server_shows_its_commands_and_the_exit_codes(command: ServerCommand) -> None:
    for option in ("-h", "--help"):
        shown = CliRunner().invoke(command, [option])
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert all(name in shown.stdout for name in command.load().commands)
        assert all(f"  {code:<4} {text}" in shown.stdout for code, text in EXIT_CODES.items())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_prints_json_and_explains_each_option(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []
    assert any("--json" in each.opts for each in options)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_every_error_is_one_line_and_an_exit_code_that_says_who_can_act(error: type[Exception]) -> None:
    @click.command()
    @report_errors()
    def fail() -> None:
        raise error("It\nfailed.")

    code = ExitCode.FAILED if issubclass(error, CallerError) else ExitCode.UNAVAILABLE
    expected = ExitCode.USAGE if issubclass(error, ConfigurationError) else code
    failed = CliRunner().invoke(fail)
    assert failed.exit_code == expected
    assert failed.stderr == f"error[{error.code}]: It failed.\n"  # type: ignore[attr-defined]


def test_ctrl_c_has_an_exit_code_of_its_own() -> None:
    @click.command()
    @report_errors()
    def wait() -> None:
        raise KeyboardInterrupt

    assert CliRunner().invoke(wait).exit_code == ExitCode.INTERRUPTED
    assert exit_code(ConfigurationError()) == ExitCode.USAGE


def test_the_client_and_its_help_import_nothing_of_the_server() -> None:
    code = (
        "import sys; from paddlewheel.cli import main; "
        "main(['gallery', '--help'], standalone_mode=False); "
        "rooms = {'admin', 'database', 'gateway', 'index_store', 'job_store', 'workers'}; "
        "print(sorted(rooms & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
