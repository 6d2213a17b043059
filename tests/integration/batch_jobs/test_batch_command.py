"""`paddlewheel batch` on a real database."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from admin.batch_printing import pace, show_progress, to_text
from paddlewheel.cli import main
from paddlewheel.contracts.batch_jobs import BatchStatus
from tests.integration.batch_jobs.conftest import Bench

Batch = Callable[..., Result]


@pytest.fixture
def batch(batch_database: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setenv("PADDLEWHEEL_DATABASE_URL", batch_database)
    monkeypatch.chdir(bench.folder)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["batch", *arguments])

    return run


def test_a_job_is_submitted_watched_stopped_and_taken_up_again(
    batch: Batch, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [*bench.images(9), "missing.png"]
    (bench.folder / "list.txt").write_text("\n".join(images))
    submitted = batch(
        "submit", "list.txt", "result.txt", "--option", "top_k=7", "--shard-size", "3", "--json"
    )
    job = json.loads(submitted.stdout)
    assert (job["state"], job["options"]) == ("planning", {"top_k": 7})
    assert job["manifest"] == str(bench.folder / "list.txt")
    assert "not counted yet" in batch("status", job["id"]).stdout
    bench.round()
    bench.round()
    bench.work(bench.messages()[0])
    shown = batch("status", job["id"]).stdout
    assert "3 of 10" in shown
    assert "lines/s" in shown
    assert "is cancelled, with 3 lines done" in batch("cancel", job["id"]).stdout
    assert "continues, with 3 lines done" in batch("resume", job["id"]).stdout
    monkeypatch.setattr("admin.batch_jobs.time.sleep", lambda _: bench.finish(job["id"]))
    seen = batch("watch", job["id"])
    assert seen.exit_code == 1, "a line has failed"
    assert "10 of 10, 1 failed" in seen.stdout
    assert '"class_probs": {"8": 7e-05}' in bench.result()[8]
    (bench.folder / "missing.png").write_text("found")
    assert "runs its failed lines again" in batch("retry", job["id"]).stdout
    assert batch("watch", job["id"]).exit_code == 0
    assert job["id"] in batch("list").stdout
    (listed,) = batch("list", "--json", "--state", "succeeded").stdout.splitlines()
    assert json.loads(listed)["failed_lines"] == 0


def test_every_error_is_one_line(batch: Batch) -> None:
    for arguments, code in (
        (["submit", "a", "a"], "invalid_request"),
        (["submit", "a", "b", "--option", "colour=blue"], "invalid_request"),
        (["submit", "a", "b", "--option", "blue"], "invalid_request"),
        (["status", "0" * 16], "batch_job_not_found"),
        (["resume", "0" * 16], "batch_job_not_found"),
    ):
        refused = batch(*arguments)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"error[{code}]: ")
        assert len(refused.stderr.splitlines()) == 1


def test_a_watched_job_is_a_bar_with_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    base = {"id": "0" * 16, "task": "t", "manifest": "m", "sink": "s", "options": {}, "redone_lines": 2}
    now = datetime.now(UTC)
    looks = [
        BatchStatus(**base, state=state, lines=100, done_lines=done, failed_lines=1, created_at=now, **more)
        for state, done, more in (
            ("running", 40, {"rate": 20.0, "remaining_seconds": 3.0}),
            ("succeeded", 100, {"finished_at": now}),
        )
    ]
    last = show_progress(looks)
    assert last.done_lines == 100
    assert "100/100" in terminal.getvalue()
    assert pace(looks[0]) == "20 lines/s, 0:00:03 left, 1 failed"
    assert "2 lines, whose worker was lost" in to_text(looks[0])
