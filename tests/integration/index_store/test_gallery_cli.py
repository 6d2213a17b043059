"""The operator's commands, run as they are typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from index_store.cli import gallery
from tests.embeddings import random_embeddings

ROWS = random_embeddings(30, 8)


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> "Cli":
    return Cli(database_url, tmp_path)


class Cli:
    def __init__(self, url: str, folder: Path) -> None:
        self.options = ["--database-url", url, "--segments", str(folder / "segments")]
        self.options += ["--purge-hours", "0", "--grace-minutes", "0"]

    def fails(self, *arguments: str) -> Result:
        return CliRunner().invoke(gallery, [*self.options, *arguments])

    def __call__(self, *arguments: str) -> str:
        result = self.fails(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def appended(cli: Cli, key: str, tmp_path: Path) -> str:
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "labels.txt").write_text("".join(f"label {number}\n" for number in range(30)))
    cli("migrate")
    cli("create", key, "--dimension", "8")
    cli("append", key, str(tmp_path / "rows.npy"), str(tmp_path / "labels.txt"), "--operation-id", "a")
    return key


def test_an_operator_builds_seals_searches_and_verifies(cli: Cli, appended: str, tmp_path: Path) -> None:
    assert "label" not in cli("list", "--after", appended[:-1])
    assert "30 rows, exact" in cli("compact", appended)
    assert "Nothing to do" in cli("seal", appended)
    line = cli("search", appended, str(tmp_path / "rows.npy"), "--top-k", "1").splitlines()[4]
    assert json.loads(line)[0]["label"] == "label 4"
    assert "0 problems" in cli("verify", appended)
    assert json.loads(cli("describe", appended))["gallery"]["live"] == 30


def test_a_repeated_append_doubles_nothing(cli: Cli, appended: str, tmp_path: Path) -> None:
    cli("append", appended, str(tmp_path / "rows.npy"), str(tmp_path / "labels.txt"), "--operation-id", "a")
    assert json.loads(cli("describe", appended))["gallery"]["live"] == 30


def test_a_removal_prints_its_receipt_and_the_purge_completes_it(cli: Cli, appended: str) -> None:
    cli("compact", appended)
    printed = json.loads(cli("remove", appended, "--label", "label 3", "--operation-id", "gone"))
    assert len(printed["ids"]) == 1
    assert printed["purged_at"] is None
    cli("maintain", "--once")
    assert json.loads(cli("receipt", appended, "gone"))["purged_at"]


def test_folders_and_id_files_go_in_and_out(cli: Cli, appended: str, tmp_path: Path) -> None:
    assert "Exported 30" in cli("export", appended, str(tmp_path / "g"))
    assert "Imported 30" in cli("import", f"{appended}-2", str(tmp_path / "g"))
    old = json.loads(cli("search", appended, str(tmp_path / "rows.npy")).splitlines()[0])[0]["id"]
    (tmp_path / "remove_ids.txt").write_text(f"{old}\n")
    ids_file = ("--ids-file", str(tmp_path / "remove_ids.txt"), "--imported-ids")
    assert len(json.loads(cli("remove", f"{appended}-2", *ids_file))["ids"]) == 1


def test_errors_are_one_sentence_with_a_code(cli: Cli, appended: str, tmp_path: Path) -> None:
    missing = cli.fails("describe", "no-such-gallery")
    assert missing.exit_code == 1
    assert "[gallery_not_found]" in missing.output
    np.save(tmp_path / "wrong.npy", np.ones((1, 9)))
    assert "[dimension_mismatch]" in cli.fails("search", appended, str(tmp_path / "wrong.npy")).output
    (tmp_path / "bad.npy").write_bytes(b"no")
    assert "[invalid_request]" in cli.fails("search", appended, str(tmp_path / "bad.npy")).output
    down = CliRunner().invoke(gallery, ["--database-url", "postgresql://127.0.0.1:1/x", "list"])
    assert down.exit_code == 2
    assert "[database_unavailable]" in down.output


def test_verify_fails_with_the_problem_and_delete_asks(cli: Cli, appended: str, tmp_path: Path) -> None:
    cli("compact", appended)
    for file in (tmp_path / "segments").iterdir():
        file.write_bytes(b"altered")
    broken = cli.fails("verify", appended)
    assert broken.exit_code == 2
    assert "has not the size" in broken.output
    assert "damage: 30 rows" in cli("seal", appended)
    assert cli.fails("delete", appended).exit_code != 0
    assert "Deleted 30" in cli("delete", appended, "--yes")
    assert "Deleted" in cli("collect")
