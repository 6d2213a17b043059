"""The operator's commands, run as they are typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from admin.galleries import maintenance
from admin.gallery_stores import LOCAL_SEGMENTS
from database.locks import gallery_lock, try_lock
from database.pool import Database
from index_store import row_files
from index_store.gallery_rows import GalleryRows
from paddlewheel.wire.addresses import CONNECTION_FILE
from tests.embeddings import random_embeddings

ROWS = random_embeddings(30, 8)


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> "Cli":
    (tmp_path / "segments").mkdir()
    return Cli("--database-url", database_url, "--segments", str(tmp_path / "segments"))


class Cli:
    def __init__(self, *options: str) -> None:
        self.options = [*options, "--purge-hours", "0", "--grace-minutes", "0"]

    def fails(self, *arguments: str) -> Result:
        return CliRunner().invoke(maintenance, [*self.options, *arguments])

    def __call__(self, *arguments: str) -> str:
        result = self.fails(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> list[dict[str, object]]:
        """The lines that it prints, all of them JSON."""
        return [json.loads(line) for line in self(*arguments).splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "labels.txt").write_text("".join(f"label {number}\n" for number in range(30)))
    return str(tmp_path / "rows.npy"), str(tmp_path / "labels.txt")


@pytest.fixture
def created(cli: Cli, key: str) -> str:
    cli("migrate")
    cli("create", key, "--dimension", "8", "--model-fingerprint", "arcface")
    return key


@pytest.fixture
def appended(cli: Cli, created: str, files: tuple[str, str]) -> str:
    cli("append", created, *files, "--operation-id", "a")
    return created


@pytest.fixture
def checkout(
    database_url: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Cli]:
    """A checkout whose servers run, entered in a folder below; `cli` made its `segments`."""
    del cli
    connection = tmp_path / CONNECTION_FILE
    connection.parent.mkdir()
    connection.write_text(json.dumps({"database_url": database_url}))
    (tmp_path / "segments").rename(tmp_path / LOCAL_SEGMENTS)
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.delenv("PADDLEWHEEL_DATABASE_URL", raising=False)
    monkeypatch.delenv("PADDLEWHEEL_SEGMENT_URL", raising=False)
    return tmp_path, Cli()


def live(cli: Cli, key: str) -> int:
    found = json.loads(cli("describe", key))["gallery"]["live"]
    return int(found)


def test_an_operator_builds_seals_searches_and_verifies(cli: Cli, appended: str, tmp_path: Path) -> None:
    assert "30 rows, exact" in cli("compact", appended)
    assert "Nothing to do" in cli("seal", appended)
    queries = str(tmp_path / "rows.npy")
    line = cli("search", appended, queries, "--top-k", "1", "--json").splitlines()[4]
    assert json.loads(line)["hits"][0]["label"] == "label 4"
    assert "0 problems" in cli("verify", appended)
    assert live(cli, appended) == 30


def test_galleries_are_listed_in_pages_that_tell_of_the_next(cli: Cli, key: str) -> None:
    cli("migrate")
    keys = [f"{key}-{number}-{'k' * 150}" for number in range(3)]
    for each in keys:
        cli("create", each, "--dimension", "8")
    page = cli.fails("list", "--after", key, "--limit", "2")
    listed = [line.split()[1] for line in page.stdout.splitlines() if key in line]
    assert listed == keys[:2]
    assert "8" in page.stdout
    assert f"--after {keys[1]}" in page.stderr
    lines = cli.json("list", "--json", "--after", keys[1], "--limit", "1")
    assert [(line["key"], line["live"]) for line in lines] == [(keys[2], 0)]


def test_the_last_page_tells_of_no_other(cli: Cli, appended: str) -> None:
    last = cli.fails("vectors", appended, "--limit", "30")
    assert last.exit_code == 0
    assert "--after" not in last.stderr


def test_vectors_are_listed_with_the_ids_that_remove_takes(cli: Cli, appended: str) -> None:
    first = cli.fails("vectors", appended, "--limit", "3", "--json")
    page = [json.loads(line) for line in first.stdout.splitlines()]
    assert [record["label"] for record in page] == ["label 0", "label 1", "label 2"]
    assert set(page[0]) == {"id", "label", "external_id", "metadata"}
    after = str(page[-1]["id"])
    assert f"--after {after}" in first.stderr
    assert "label 3" in cli("vectors", appended, "--after", after, "--limit", "1")
    cli("remove", appended, "--id", after)
    assert cli.json("vectors", appended, "--id", after, "--id", str(page[0]["id"]), "--json") == page[:1]


def test_a_repeated_append_doubles_nothing(cli: Cli, appended: str, files: tuple[str, str]) -> None:
    cli("append", appended, *files, "--operation-id", "a")
    assert live(cli, appended) == 30


def test_an_append_tells_its_operation_before_it_stores_anything(
    cli: Cli, created: str, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "_PART", 10)
    append = GalleryRows.append

    def breaks(store: object, *arguments: object, operation_id: str, **options: object) -> object:
        if operation_id.endswith("/20"):
            raise KeyboardInterrupt
        return append(store, *arguments, operation_id=operation_id, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as breaking:
        breaking.setattr(GalleryRows, "append", breaks)
        broken = cli.fails("append", created, *files)
    assert broken.exit_code != 0
    assert live(cli, created) == 20
    operation = broken.stderr.split("--operation-id ")[1].split()[0]
    (done,) = cli.json("append", created, *files, "--operation-id", operation, "--json")
    assert done["operation_id"] == operation
    assert done["ids"] == [record["id"] for record in cli.json("vectors", created, "--json")]
    assert live(cli, created) == 30


def test_a_wrong_row_is_named_by_its_number_in_the_file_and_nothing_is_stored(
    cli: Cli, created: str, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "_PART", 10)
    wrong = ROWS.copy()
    wrong[25] = 0
    np.save(files[0], wrong)
    refused = cli.fails("append", created, *files)
    assert "row 25 is zero" in refused.output
    assert "error[vector_invalid]: " in refused.stderr
    too_long = cli.fails("append", created, *files, "--operation-id", "x" * 199)
    assert "[invalid_request]" in too_long.output
    assert live(cli, created) == 0


def test_an_append_brings_external_ids_and_metadata_and_names_its_model(
    cli: Cli, created: str, files: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "external.txt").write_text("".join(f"badge-{number}\n" for number in range(30)))
    lines = ["null", *(json.dumps({"camera": number}) for number in range(1, 30))]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    beside = (
        "--external-ids",
        str(tmp_path / "external.txt"),
        "--metadata",
        str(tmp_path / "metadata.jsonl"),
    )
    for command in (("append", created, *files), ("search", created, files[0])):
        assert "[model_mismatch]" in cli.fails(*command, "--model-fingerprint", "other").output
    assert live(cli, created) == 0
    cli("append", created, *files, *beside, "--model-fingerprint", "arcface")
    page = cli.json("vectors", created, "--json", "--limit", "2")
    assert [(record["external_id"], record["metadata"]) for record in page] == [
        ("badge-0", None),
        ("badge-1", {"camera": 1}),
    ]
    found = cli.json("search", created, files[0], "--top-k", "1", "--model-fingerprint", "arcface", "--json")
    assert [line["query"] for line in found] == list(range(30))


def test_a_removal_prints_its_receipt_and_the_purge_completes_it(cli: Cli, appended: str) -> None:
    cli("compact", appended)
    printed = json.loads(cli("remove", appended, "--label", "label 3", "--operation-id", "gone"))
    assert (len(printed["ids"]), printed["searched"]) == (1, 1)
    assert printed["purged_at"] is None
    assert "dropped" in cli("maintain", "--once")
    assert json.loads(cli("receipt", appended, "gone"))["purged_at"]


def test_folders_and_id_files_go_in_and_out(cli: Cli, appended: str, tmp_path: Path) -> None:
    assert "Exported 30" in cli("export", appended, str(tmp_path / "g"))
    assert "Imported 30" in cli("import", f"{appended}-2", str(tmp_path / "g"))
    queries = str(tmp_path / "rows.npy")
    old = json.loads(cli("search", appended, queries, "--json").splitlines()[0])["hits"][0]["id"]
    (tmp_path / "remove_ids.txt").write_text(f"{old}\n")
    ids_file = ("--ids-file", str(tmp_path / "remove_ids.txt"), "--imported-ids")
    assert len(json.loads(cli("remove", f"{appended}-2", *ids_file))["ids"]) == 1


def test_imported_ids_are_meant_by_every_id_that_is_given(
    cli: Cli, appended: str, files: tuple[str, str], tmp_path: Path
) -> None:
    """The imported id is at the same time the gallery's id of another vector."""
    page = cli.json("vectors", appended, "--json")
    wanted, other = page[3]["id"], page[4]["id"]
    copy = f"{appended}-2"
    cli("create", copy, "--dimension", "8")
    (tmp_path / "imported.txt").write_text("".join(f"{record['id']}\n" for record in page))
    (added,) = cli.json("append", copy, *files, "--external-ids", str(tmp_path / "imported.txt"), "--json")
    ids = added["ids"]
    assert isinstance(ids, list)
    removed = json.loads(cli("remove", copy, "--id", str(wanted), "--imported-ids"))
    assert removed["ids"] == [ids[3]]
    assert json.loads(cli("remove", copy, "--id", str(other)))["ids"] == []
    useless = cli.fails("remove", copy, "--label", "label 1", "--imported-ids")
    assert useless.exit_code == 2
    assert live(cli, copy) == 29


def test_errors_are_one_sentence_with_a_code(cli: Cli, appended: str, tmp_path: Path) -> None:
    missing = cli.fails("describe", "no-such-gallery")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error[gallery_not_found]: ")
    np.save(tmp_path / "wrong.npy", np.ones((1, 9)))
    assert "[dimension_mismatch]" in cli.fails("search", appended, str(tmp_path / "wrong.npy")).output
    (tmp_path / "bad.npy").write_bytes(b"no")
    assert "[invalid_request]" in cli.fails("search", appended, str(tmp_path / "bad.npy")).output
    down = CliRunner().invoke(maintenance, ["--database-url", "postgresql://127.0.0.1:1/x", "list"])
    assert down.exit_code == 3
    assert down.stderr.startswith("error[database_unavailable]: ")


def test_places_that_cannot_be_used_are_one_sentence(
    cli: Cli, appended: str, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    unwritable = cli.fails("export", appended, str(tmp_path / "file" / "below"))
    unknown = cli.fails("import", f"{appended}-2", "nonsense://bucket/folder")
    segments = ("--database-url", database_url, "--segments", "nonsense://x", "--copies", str(tmp_path / "c"))
    nowhere = CliRunner().invoke(maintenance, [*segments, "verify", appended])
    for refused, code in ((unwritable, 3), (unknown, 2), (nowhere, 2)):
        assert refused.exit_code == code, refused.output
        assert refused.stderr.splitlines()[-1].startswith("error[")
        assert isinstance(refused.exception, SystemExit)
        assert "cannot be" in refused.output


def test_verify_fails_with_the_problem_and_delete_asks(cli: Cli, appended: str, tmp_path: Path) -> None:
    cli("compact", appended)
    for file in (tmp_path / "segments").iterdir():
        file.write_bytes(b"altered")
    broken = cli.fails("verify", appended, "--json")
    assert broken.exit_code == 1
    assert "has not the size" in broken.stderr
    assert len(json.loads(broken.stdout)["problems"]) == 1
    assert "damage: 30 rows" in cli("seal", appended)
    asked = cli.fails("delete", appended)
    assert asked.exit_code != 0
    assert "receipts" in asked.output
    assert "Deleted 30" in cli("delete", appended, "--yes")
    assert "Deleted" in cli("collect")


def test_a_gallery_at_which_another_process_is_has_an_exit_status_of_its_own(
    cli: Cli, appended: str, database: Database
) -> None:
    (found,) = [line for line in cli.json("list", "--json") if line["key"] == appended]
    with try_lock(database, gallery_lock(int(str(found["id"])))):
        for command in ("seal", "compact"):
            busy = cli.fails(command, appended, "--json")
            assert (busy.exit_code, busy.stdout) == (3, "")
            assert "Another process" in busy.stderr
    assert cli.fails("seal", appended, "--json").exit_code == 0


def test_a_round_of_maintenance_that_fails_says_so(
    cli: Cli, appended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("compact", appended)
    cli("remove", appended, "--label", "label 3")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("index_store.sealing.write_segment", fail)
    failed = cli.fails("maintain", "--once", "--json")
    assert failed.exit_code == 1
    assert any("disk is full" in failure for failure in json.loads(failed.stdout)["failures"])
    failed = cli.fails("maintain", "--once")
    assert (failed.exit_code, "failed" in failed.stderr) == (1, True)
    assert cli.fails("maintain", "--json").exit_code == 2


def test_a_round_by_hand_continues_until_nothing_is_left(
    cli: Cli, appended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index_store.maintenance._REWRITES", 1)
    cli("compact", appended)
    cli("remove", appended, *(part for label in range(8) for part in ("--label", f"label {label}")))
    first, *others = cli.json("maintain", "--once", "--json")
    assert (first["unfinished"], bool(first["sealed"])) == (True, True)
    assert [each["unfinished"] for each in others][-1:] == [False]


def test_what_a_program_reads_is_json(cli: Cli, appended: str, tmp_path: Path) -> None:
    (sealed,) = json.loads(cli("compact", appended, "--json"))
    assert (sealed["rows"], sealed["reason"]) == (30, "asked")
    (checked,) = cli.json("verify", appended, "--json")
    assert (checked["vectors"], checked["problems"]) == (30, [])
    (exported,) = cli.json("export", appended, str(tmp_path / "g"), "--json")
    assert exported["vectors"] == 30
    (imported,) = cli.json("import", f"{appended}-2", str(tmp_path / "g"), "--operation-id", "i", "--json")
    assert (imported["vectors"], imported["operation_id"]) == (30, "i")
    (deleted,) = cli.json("delete", appended, "--yes", "--json")
    assert deleted["vectors"] == 30
    (collected,) = cli.json("collect", "--json")
    assert sealed["segment"] in str(collected["dropped"])
    assert collected["unknown"] == []


def test_below_a_checkout_its_files_are_meant(checkout: tuple[Path, Cli], key: str) -> None:
    root, cli = checkout
    np.save("rows.npy", ROWS)
    Path("labels.txt").write_text("".join(f"label {number}\n" for number in range(30)))
    cli("create", key, "--dimension", "8")
    cli("append", key, "rows.npy", "labels.txt")
    cli("compact", key)
    assert len(list((root / LOCAL_SEGMENTS).iterdir())) == 1
    assert "0 problems" in cli("verify", key)
    cli("delete", key, "--yes")
    assert "Deleted 1 dropped" in cli("collect")
    assert not list((root / LOCAL_SEGMENTS).iterdir())
    assert sorted(path.name for path in Path().iterdir()) == ["labels.txt", "rows.npy"]


@pytest.mark.parametrize("command", ["collect", "verify", "compact", "seal", "maintain", "search", "remove"])
def test_a_folder_of_files_that_is_not_there_is_refused_and_not_made(
    database_url: str, appended: str, files: tuple[str, str], tmp_path: Path, command: str
) -> None:
    arguments = {"search": (appended, files[0]), "remove": (appended, "--label", "label 3")}
    arguments |= {"collect": (), "maintain": ("--once",)}
    for place in (tmp_path / "segmets", f"file://{tmp_path}/segmets"):
        mistyped = Cli("--database-url", database_url, "--segments", str(place), "--copies", str(tmp_path))
        refused = mistyped.fails(command, *arguments.get(command, (appended,)))
        assert refused.exit_code == 2
        assert "mkdir" in refused.output
        assert not (tmp_path / "segmets").exists()


def test_the_files_of_a_database_that_was_named_by_hand_are_asked_for(
    checkout: tuple[Path, Cli], database_url: str, appended: str
) -> None:
    _, here = checkout
    by_hand = Cli("--database-url", database_url.replace("postgresql://", "postgresql+psycopg2://"))
    refused = by_hand.fails("collect")
    assert refused.exit_code == 2
    assert "--segments" in refused.output
    assert "PADDLEWHEEL_SEGMENT_URL" in refused.output
    assert live(by_hand, appended) == 30  # of which Postgres knows alone
    assert "unknown files are left" in here("collect")
    assert "unknown files are left" in Cli("--database-url", database_url)("collect")
