"""Commands that only the server has."""

import pytest
from click.testing import CliRunner

from paddlewheel.cli import main
from paddlewheel.cli.server_commands import server_command


@pytest.mark.parametrize("name", ["dead", "keys", "models"])
def test_a_command_of_the_server_is_listed_with_what_it_does(name: str) -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert f"  {name} " in shown


def test_a_client_without_the_server_is_told_where_it_is() -> None:
    command = server_command("ghosts", "nowhere.cli", "Ghosts are kept", "Keep ghosts.")
    refused = CliRunner().invoke(command, ["list", "--json"])
    assert refused.exit_code == 2
    assert "Ghosts are kept where the server is" in refused.stderr
