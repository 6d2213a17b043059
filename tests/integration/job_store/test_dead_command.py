"""`paddlewheel dead` on real servers."""

import base64
import json
import uuid
from collections.abc import Callable

import psycopg2
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from job_store.batch_shards import BatchShards, PlannedShard, ShardOutput
from job_store.dead_letter import DeadLetter
from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.cli import main
from paddlewheel.contracts.batch_jobs import NewBatchJob
from tests.conftest import RunningServer
from tests.integration.job_store.conftest import MakeLetter

Dead = Callable[..., Result]
BATCH_LIST = "batch\x06\x166"


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


def test_letters_that_only_wait_are_filed_and_listed(
    dead: Dead, box: DeadLetterOutbox, letter: MakeLetter
) -> None:
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
    dead: Dead, valkey: RunningServer, letters: DeadLetterStore, letter: MakeLetter
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
    dead: Dead, letters: DeadLetterStore, letter: MakeLetter
) -> None:
    letters.file([letter("t-1", blob="e"), letter("t-2", name="unknown.task")])
    refused = dead("replay", "t-1", "t-2")
    assert refused.exit_code == 1
    assert "error[blob_not_found]: Dead letter 1 cannot be replayed" in refused.stderr
    assert "no task unknown.task" in refused.stderr
    assert numbers(dead("list", "--json")) == [2, 1]


def test_a_discarded_letter_stays_on_record(dead: Dead, letters: DeadLetterStore, letter: MakeLetter) -> None:
    letters.file([letter("t-1"), letter("t-2", blob="1")])
    done = dead("discard", "1", "7", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["state"] == "discarded"
    assert "error[dead_letter_not_found]" in done.stderr
    assert numbers(dead("list", "--json")) == [2]
    assert "discarded" in dead("show", "1").stdout


def test_the_shard_of_a_batch_job_is_replayed_while_its_job_wants_it(
    dead: Dead, valkey: RunningServer, letters: DeadLetterStore, letter: MakeLetter, database_url: str
) -> None:
    database = Database(database_url)
    jobs, shards = BatchJobStore(database), BatchShards(database)
    job = jobs.submit(NewBatchJob(manifest="/data/list.txt", sink="/data/result.txt")).id
    plan = {"begin_byte": 0, "end_byte": 1, "digest": "", "lines": 10}
    shards.add(job, [PlannedShard(first_line=first, **plan) for first in (0, 10, 20)])  # type: ignore[arg-type]
    shards.finish_plan(job, 30)
    claimed = shards.claim(job, 10, "t", 60)
    assert claimed is not None
    shards.complete(claimed, ShardOutput(name="p", bytes=1, digest="", failed_lines=0))

    def of_shard(task_id: str, of_job: str, first: int) -> DeadLetter:
        request = {"job": of_job, "shard": first}
        fields = {"request": request, "headers": {"priority": 6}, "error_code": "worker_lost"}
        return letter(task_id, name="batch.shard", queue="batch", **fields)

    letters.file([of_shard("wanted", job, 0), of_shard("done", job, 10), of_shard("split", job, 5)])
    letters.file([of_shard("nowhere", "0" * 16, 0), of_shard("stopped", job, 20)])
    with Redis.from_url(valkey.url) as redis:
        redis.delete(BATCH_LIST)
        assert "replayed as task" in dead("replay", "wanted").stdout
        (message,) = redis.lrange(BATCH_LIST, 0, -1)
        redis.delete(BATCH_LIST)
        sent = json.loads(message)
        assert json.loads(base64.b64decode(sent["body"]))[0] == [{"job": job, "shard": 0}]
        assert shards.claim(job, 0, sent["headers"]["id"], 60) is not None
        refused = dead("replay", "done", "split", "nowhere")
        jobs.cancel(job)
        stopped = dead("replay", "stopped")
        assert redis.llen(BATCH_LIST) == 0
    assert (refused.exit_code, stopped.exit_code) == (1, 1)
    assert "error[batch_job_state]: Batch job" in refused.stderr
    for words in ("has done this shard", "has split this shard", "no batch job 0000", "dead discard 2"):
        assert words in refused.stderr
    assert f"paddlewheel batch resume {job}" in stopped.stderr
    assert numbers(dead("list", "--json")) == [5, 4, 3, 2]
    database.close()


def test_closed_letters_are_deleted_when_they_are_old_enough(
    dead: Dead, letters: DeadLetterStore, letter: MakeLetter, database_url: str
) -> None:
    letters.file([letter(f"t-{number}", blob=str(number)) for number in range(5)])
    letters.discard(1)
    letters.discard(2)
    letters.mark_replayed(3, "again")
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE dead_letters SET created_at = now() - interval '1 year'")
        cursor.execute("UPDATE dead_letters SET discarded_at = now() - interval '31 days' WHERE number = 1")
        cursor.execute("UPDATE dead_letters SET replayed_at = now() - interval '31 days' WHERE number = 3")
    connection.close()
    kept = CliRunner().invoke(main, ["dead", "purge", "--older-than", "30d"], input="n\n")
    assert kept.exit_code == 1
    assert "Delete 2 closed dead letters for good?" in kept.stderr
    assert len(numbers(dead("list", "--json", "--state", "all"))) == 5
    assert dead("purge", "--older-than", "30d", "--yes").stdout == "2 dead letters were deleted.\n"
    assert numbers(dead("list", "--json", "--state", "all")) == [5, 4, 2]
    assert dead("purge", "--older-than", "12h", "--json").stdout == '{"deleted": 0}\n'
    for wrong in ("30", "0d", "-1d", "1 d", "month"):
        refused = dead("purge", f"--older-than={wrong}", "--yes")
        assert (refused.exit_code, "no age such as 30d" in refused.stderr) == (2, True), wrong
    assert dead("purge", "--yes").exit_code == 2


def test_without_a_database_waiting_letters_can_be_seen_and_not_closed(
    dead: Dead, box: DeadLetterOutbox, letter: MakeLetter, servers: pytest.MonkeyPatch, tmp_path: object
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
    dead: Dead, letters: DeadLetterStore, letter: MakeLetter, servers: pytest.MonkeyPatch
) -> None:
    letters.file([letter("t-1")])
    servers.setenv("PADDLEWHEEL_RESULT_URL", "redis://127.0.0.1:1/0")
    listed = dead("list", "--json")
    assert numbers(listed) == [1]
    assert "may be missing" in listed.stderr


def test_where_only_the_client_is_a_sentence_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("paddlewheel.cli.server_commands.importlib.import_module", missing)
    refused = CliRunner().invoke(main, ["dead", "list"])
    assert refused.exit_code == 2
    assert "where the server is" in refused.output
