"""`paddlewheel dead` on real servers."""

import json
import uuid
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from api_client import RECOGNIZE_TEXT, Client
from api_client.cli import main
from job_store.dead_letters import DeadLetters
from job_store.letter_box import LetterBox
from tests.conftest import RunningServer
from tests.integration.job_store.conftest import MakeLetter

Dead = Callable[..., Result]


@pytest.fixture
def servers(valkey: RunningServer, database_url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("BROKER", "RESULT", "BLOB"):
        monkeypatch.setenv(f"PADDLEWHEEL_{name}_URL", valkey.url)
    monkeypatch.setenv("PADDLEWHEEL_DATABASE_URL", database_url)
    return monkeypatch


@pytest.fixture
def dead(servers: pytest.MonkeyPatch) -> Dead:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["dead", *arguments])

    del servers
    return run


def numbers(listed: Result) -> list[int]:
    return [json.loads(line)["number"] for line in listed.stdout.splitlines()]


def test_letters_that_only_wait_are_filed_and_listed(dead: Dead, box: LetterBox, letter: MakeLetter) -> None:
    for i in range(3):
        box.put(letter(f"t-{i}", blob=str(i)))
    shown = dead("list")
    assert shown.exit_code == 0
    assert [f"t-{i}" in shown.stdout for i in range(3)] == [True] * 3
    assert box.waiting() == []
    first = dead("list", "--json", "--limit", "2")
    assert f"--before {numbers(first)[-1]}" in first.stderr
    rest = dead("list", "--json", "--before", str(numbers(first)[-1]))
    assert [*numbers(first), *numbers(rest)] == [3, 2, 1]
    assert numbers(dead("list", "--json", "--error", "worker_lost")) == []
    assert "t-1" in dead("show", "2").stdout
    assert json.loads(dead("show", "t-2", "--json").stdout)["number"] == 3
    missing = dead("show", "nobody")
    assert missing.exit_code == 1
    assert "error[dead_letter_not_found]" in missing.stderr


def test_a_replay_enqueues_the_same_request_as_a_task_of_its_own(
    dead: Dead, valkey: RunningServer, letters: DeadLetters, letter: MakeLetter
) -> None:
    with Client(valkey.url) as client, Redis.from_url(valkey.url) as redis:
        image = client.put(uuid.uuid4().bytes * 20)
        request = {"image": image.model_dump(mode="json"), "model": "m"}
        letters.file([letter("t-1", request=request, headers={"priority": 6})])
        redis.delete("gpu\x06\x166")
        assert "replayed as task" in dead("replay", "t-1").stdout
        (message,) = redis.lrange("gpu\x06\x166", 0, -1)
        redis.delete("gpu\x06\x166")
        sent = json.loads(message)["headers"]
        found = letters.find("t-1")
        assert found.state == "replayed"
        assert found.replay_task_id == sent["id"] != "t-1"
        assert sent["task"] == RECOGNIZE_TEXT.name
        assert client.status(sent["id"]).state == "queued"
    again = dead("replay", "t-1")
    assert again.exit_code == 1
    assert "was replayed as task" in again.stderr
    assert numbers(dead("list", "--json")) == []
    assert numbers(dead("list", "--json", "--state", "replayed")) == [found.number]


def test_a_letter_whose_image_has_expired_says_so_and_stays_open(
    dead: Dead, letters: DeadLetters, letter: MakeLetter
) -> None:
    letters.file([letter("t-1", blob="e"), letter("t-2", name="unknown.task")])
    refused = dead("replay", "t-1", "t-2")
    assert refused.exit_code == 1
    assert "error[blob_not_found]: Dead letter 1 cannot be replayed" in refused.stderr
    assert "no task unknown.task" in refused.stderr
    assert numbers(dead("list", "--json")) == [2, 1]


def test_a_discarded_letter_stays_on_record(dead: Dead, letters: DeadLetters, letter: MakeLetter) -> None:
    letters.file([letter("t-1"), letter("t-2", blob="1")])
    done = dead("discard", "1", "7", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["state"] == "discarded"
    assert "error[dead_letter_not_found]" in done.stderr
    assert numbers(dead("list", "--json")) == [2]
    assert "discarded" in dead("show", "1").stdout


def test_without_a_database_waiting_letters_can_be_seen_and_not_closed(
    dead: Dead, box: LetterBox, letter: MakeLetter, servers: pytest.MonkeyPatch, tmp_path: object
) -> None:
    servers.delenv("PADDLEWHEEL_DATABASE_URL")
    servers.chdir(str(tmp_path))
    box.put(letter("t-1"))
    listed = dead("list")
    assert "t-1" in listed.stdout
    assert "waiting" in listed.stdout
    assert "wait in the result store" in listed.stderr
    assert json.loads(dead("list", "--json").stdout)["task_id"] == "t-1"
    assert '"t-1"' in dead("show", "t-1").stdout
    refused = dead("discard", "t-1")
    assert refused.exit_code == 2
    assert "PADDLEWHEEL_DATABASE_URL" in refused.stderr


def test_a_result_store_that_is_away_hides_no_filed_letter(
    dead: Dead, letters: DeadLetters, letter: MakeLetter, servers: pytest.MonkeyPatch
) -> None:
    letters.file([letter("t-1")])
    servers.setenv("PADDLEWHEEL_RESULT_URL", "redis://127.0.0.1:1/0")
    listed = dead("list", "--json")
    assert numbers(listed) == [1]
    assert "may be missing" in listed.stderr


def test_where_only_the_client_is_a_sentence_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("api_client.cli.commands.importlib.import_module", missing)
    refused = CliRunner().invoke(main, ["dead", "list"])
    assert refused.exit_code == 2
    assert "where the server is" in refused.output
