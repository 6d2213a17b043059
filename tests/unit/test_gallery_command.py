"""`paddlewheel gallery`: there where the server is, and a sentence where only the client is."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from paddlewheel.cli import main


def test_where_the_server_is_galleries_can_be_managed() -> None:
    shown = CliRunner().invoke(main, ["gallery", "--help"])
    assert shown.exit_code == 0
    assert {"create", "append", "search", "remove", "verify", "export", "import"} <= set(shown.output.split())
    assert "gallery" in CliRunner().invoke(main, ["--help"]).output


def test_where_only_the_client_is_a_sentence_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddlewheel.cli.galleries.server_is_here", lambda: False)
    refused = CliRunner().invoke(main, ["gallery", "list"])
    assert refused.exit_code == 2
    assert "where the server is" in refused.output
    shown = CliRunner().invoke(main, ["gallery", "--help"])
    assert {"build", "describe", "remove", "import"} <= set(shown.output.split())
    assert "migrate" not in shown.output


def test_without_a_database_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PADDLEWHEEL_DATABASE_URL", raising=False)
    refused = CliRunner().invoke(main, ["gallery", "list"])
    assert refused.exit_code == 2
    assert "PADDLEWHEEL_DATABASE_URL" in refused.output
    wrong = CliRunner().invoke(main, ["gallery", "--database-url", "nonsense", "list"])
    assert wrong.exit_code != 0
    assert "postgresql://" in wrong.output
