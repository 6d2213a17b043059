"""`paddlewheel gallery` goes through the queue, `paddlewheel gallery maintenance` to the database."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from paddlewheel.cli import main
from paddlewheel.cli.galleries import gallery
from paddlewheel.errors import BrokerUnavailable


def test_commands_on_images_are_tasks_and_commands_on_the_database_are_maintenance() -> None:
    tasks = {"append", "build", "delete", "describe", "export", "import", "remove", "search"}
    assert set(gallery.commands) == {*tasks, "maintenance"}
    shown = CliRunner().invoke(main, ["gallery", "maintenance", "--help"])
    assert shown.exit_code == 0
    assert {"migrate", "create", "append", "search", "verify", "seal", "collect"} <= set(shown.output.split())


def test_where_only_the_client_is_a_sentence_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "admin.galleries", None)
    for arguments in (["list"], ["--help"]):
        refused = CliRunner().invoke(main, ["gallery", "maintenance", *arguments])
        assert refused.exit_code == 2
        assert "Galleries are maintained where the server is" in refused.stderr
    shown = CliRunner().invoke(main, ["gallery", "--help"])
    assert {"build", "describe", "remove", "import", "maintenance"} <= set(shown.output.split())


def test_a_file_of_embeddings_goes_through_the_queue_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "queries.npy").write_bytes(b"")

    def connect(**_: object) -> object:
        raise BrokerUnavailable()

    for command in (["search", "staff"], ["append", "staff", "--label", "Ann"]):
        shown = CliRunner().invoke(main, ["gallery", *command, str(tmp_path / "queries.npy")], obj=connect)
        assert (shown.exit_code, shown.stderr.split(":")[0]) == (3, "error[broker_unavailable]")


def test_without_a_database_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PADDLEWHEEL_DATABASE_URL", raising=False)
    refused = CliRunner().invoke(main, ["gallery", "maintenance", "list"])
    assert refused.exit_code == 2
    assert "PADDLEWHEEL_DATABASE_URL" in refused.output
    wrong = CliRunner().invoke(main, ["gallery", "maintenance", "--database-url", "nonsense", "list"])
    assert wrong.exit_code == 2
    assert "postgresql://" in wrong.output
