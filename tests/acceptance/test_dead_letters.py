"""Tasks that kill workers, and workers that are killed at the worst moment."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from redis import Redis

from database.migration import migrate
from job_store.dead_letter_outbox import DeadLetterOutbox
from local.rendering import png
from local.stack import LocalStack
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.cli import main
from paddlewheel.errors import WorkerLost
from tests.acceptance.conftest import ROOT
from tests.postgres import PostgresServer

POISON = png(Image.new("RGB", (320, 48), "black"))

MOST_STARTS = 8
"""More than any test needs: a worker that cannot start must not be restarted indefinitely."""


class Supervised:
    """A worker of `tests.deadly_worker` that is started again whenever it ends."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.starts = 0
        self._environment = environment
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._process.terminate()
        self._thread.join()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        return subprocess.Popen(
            [sys.executable, "-m", "tests.deadly_worker"], cwd=ROOT, env=self._environment
        )

    def _watch(self) -> None:
        while True:
            self._process.wait()
            if self._stopping.is_set() or self.starts == MOST_STARTS:
                return
            self._process = self._start()
            if self._stopping.is_set():
                self._process.terminate()


class Deadly:
    """The servers, the worker and its faults."""

    def __init__(self, url: str, folder: Path, postgres: PostgresServer, worker: Supervised) -> None:
        self.url, self.folder, self.postgres, self.worker = url, folder, postgres, worker


@pytest.fixture(scope="module")
def deadly() -> Iterator[Deadly]:
    postgres = PostgresServer()
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(Path(folder), services={"valkey"}, ephemeral=True) as stack,
    ):
        environment = {
            **os.environ,
            "PADDLEWHEEL_BROKER_URL": stack.servers.broker_url,
            "PADDLEWHEEL_DATABASE_URL": postgres.url(),
            "PADDLEWHEEL_MODEL_HOME": str(ROOT / ".paddlewheel" / "models"),
            # It is started again and again: take what starts fastest.
            "PADDLEWHEEL_ORIENTATION_MODEL": "",
            "PADDLEWHEEL_ENGINE": "openvino",
            "PADDLEWHEEL_VISIBILITY_TIMEOUT": "3",
            "PADDLEWHEEL_MAX_DELIVERIES": "2",
            "PADDLEWHEEL_LOG_LEVEL": "ERROR",
            "DEADLY_FOLDER": folder,
        }
        worker = Supervised(environment)
        try:
            yield Deadly(stack.servers.broker_url, Path(folder), postgres, worker)
        finally:
            worker.stop()
            postgres.close()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_task_that_kills_every_worker_is_given_up_kept_and_answered_once_the_fault_is_mended(
    deadly: Deadly, good_line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly.postgres.stop()
    with Client(deadly.url) as client, Redis.from_url(deadly.url) as redis:
        box = DeadLetterOutbox(redis)
        began = time.monotonic()
        neighbours = [client.enqueue(RECOGNIZE_TEXT, good_line) for _ in range(6)]
        poison = client.enqueue(RECOGNIZE_TEXT, POISON)
        neighbours += [client.enqueue(RECOGNIZE_TEXT, good_line) for _ in range(6)]
        with pytest.raises(WorkerLost, match="2 workers were lost"):
            poison.result(200)
        assert [pending.result(200).rec_text for pending in neighbours] == ["page 7731"] * 12
        print(f"given up after two workers, and 12 neighbours answered, in {time.monotonic() - began:.1f} s")
        assert deadly.worker.starts == 3

        # The database is away: the letter waits, and the worker that wrote it files it afterwards.
        (letter,) = box.waiting()
        assert (letter.task_id, letter.error_code, len(letter.history)) == (poison.task_id, "worker_lost", 2)
        deadly.postgres.start()
        migrate(deadly.postgres.url())
        wait_until(lambda: not box.waiting())

        (deadly.folder / "mended").touch()
        for name, url in (("BROKER", deadly.url), ("DATABASE", deadly.postgres.url())):
            monkeypatch.setenv(f"PADDLEWHEEL_{name}_URL", url)
        replayed = CliRunner().invoke(main, ["dead", "replay", poison.task_id])
        found = re.search(r"replayed as task (\S+)\.", replayed.output)
        assert found, replayed.output
        assert client.pending(RECOGNIZE_TEXT, found[1]).result(200).rec_text == ""
        assert deadly.worker.starts == 3
        assert found[1] in CliRunner().invoke(main, ["dead", "show", poison.task_id]).output


def test_a_message_outlives_a_worker_that_is_killed_as_it_takes_it(deadly: Deadly, good_line: bytes) -> None:
    with Client(deadly.url) as client, Redis.from_url(deadly.url) as redis:
        assert client.enqueue(RECOGNIZE_TEXT, good_line).result(200).rec_text == "page 7731"
        starts = deadly.worker.starts
        began = time.monotonic()
        (deadly.folder / "armed").touch()
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [good_line] * 40)
        urgent = client.enqueue(RECOGNIZE_TEXT, good_line)
        for pending in [*pendings, urgent]:
            assert pending.result(200).rec_text == "page 7731"
        print(f"41 lines answered {time.monotonic() - began:.1f} s after a kill, with a timeout of 3 s")
        assert not (deadly.folder / "armed").exists()
        assert deadly.worker.starts == starts + 1
        wait_until(lambda: not redis.exists("unacked", "unacked_index"))
