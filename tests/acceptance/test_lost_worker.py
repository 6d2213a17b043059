"""A worker that is killed, and a task that takes longer than the visibility timeout."""

import time
from pathlib import Path

from PIL import Image
from redis import Redis

from benchmarks.lines import render_lines
from local.rendering import png
from paddlewheel import RECOGNIZE_TEXT, Client
from tests.acceptance.conftest import faulty_service, running_service
from tests.named_lines import draw_named
from tests.named_service import named_service


def answered(redis: Redis, keys: list[str]) -> int:
    return sum(b'"SUCCESS"' in (record or b"") for record in redis.mget(keys))


def test_the_tasks_of_a_killed_worker_are_answered_by_another() -> None:
    lines = [line.png for line in render_lines(56, seed=21)]
    with (
        running_service(workers=2, PADDLEWHEEL_VISIBILITY_TIMEOUT="4") as service,
        Client(service.url) as client,
    ):
        expected = [p.result(120).rec_text for p in client.enqueue_many(RECOGNIZE_TEXT, lines)]
        pendings = [client.enqueue(RECOGNIZE_TEXT, line) for line in lines]
        # Both have taken all there is, so that the killed one has its share.
        keys = [f"celery-task-meta-{pending.task_id}" for pending in pendings]
        with Redis.from_url(service.url) as redis:
            while redis.llen("gpu") or redis.hlen("unacked") + answered(redis, keys) < len(keys):
                time.sleep(0.001)
        began = time.monotonic()
        victim, other = service.workers()
        victim.kill()
        assert [pending.result(60).rec_text for pending in pendings] == expected
        print(f"recovered in {time.monotonic() - began:.1f} s with a timeout of 4 s")
        assert service.workers() == [other]


def test_the_tasks_of_two_killed_workers_are_answered_by_the_next_one() -> None:
    with (
        named_service(2, FAULTY_PACE="0.03", PADDLEWHEEL_VISIBILITY_TIMEOUT="4") as service,
        Client(service.url) as client,
    ):
        refs = client.put_many([draw_named(number) for number in range(200)])
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        next(client.as_completed(pendings, timeout=60))
        began = time.monotonic()
        for worker in service.workers:
            worker.process.kill()
            worker.process.wait()
        service.start_worker().wait_ready()
        assert [pending.result(60).rec_text for pending in pendings] == [str(number) for number in range(200)]
        print(f"recovered in {time.monotonic() - began:.1f} s with a timeout of 4 s, the start included")


def test_a_task_that_takes_longer_than_the_visibility_timeout_runs_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    slow = png(Image.new("RGB", (320, 48), "white"))
    settings = {"PADDLEWHEEL_VISIBILITY_TIMEOUT": "3", "FAULTY_FLAG": str(marks)}
    with faulty_service("open_slow", **settings) as client:
        assert client.enqueue(RECOGNIZE_TEXT, slow).result(60).rec_text == ""
        assert marks.read_text() == "x"
