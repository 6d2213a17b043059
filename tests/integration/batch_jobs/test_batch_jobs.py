"""Batch jobs from the manifest to the sink, with everything that may happen on the way."""

import json
import time
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest

from paddlewheel.contracts.batch_jobs import NewBatchJob
from paddlewheel.errors import (
    BatchJobNotFound,
    BatchJobState,
    BlobStoreUnavailable,
    DatabaseUnavailable,
    InvalidRequest,
    ModelUnknown,
    PlaceUnavailable,
)
from tests.integration.batch_jobs.conftest import Bench, fields
from workers.batch_jobs import scheduler as scheduling
from workers.batch_jobs.local_files import LocalFile


def names(lines: list[str]) -> list[str]:
    return [fields(line).get("class_name", "error") for line in lines]


def test_every_line_is_answered_once_and_in_the_order_of_the_manifest(bench: Bench) -> None:
    images = bench.images(11)
    blob = bench.blobs.put(b"stored").blob
    odd = bench.folder / "a, {b}.png"
    odd.write_text("odd")
    addresses = [
        *images,
        blob,
        str(bench.folder / "missing.png"),
        "image 3.png",
        f"file://{bench.folder}/image%204.png",
        str(odd),
        images[0],
    ]
    status = bench.finish(bench.submit(*addresses))
    assert (status.state, status.lines, status.done_lines, status.failed_lines) == ("succeeded", 17, 17, 1)
    result = bench.result()
    assert [line.startswith(f"{address}, {{") for line, address in zip(result, addresses, strict=True)] == [
        True
    ] * 17
    assert names(result[:11]) == [str(number) for number in range(11)]
    assert [
        json.loads(line[len(address) + 2 :])
        for line, address in zip(result[11:], addresses[11:], strict=True)
    ] == [
        {"class": 1, "class_name": "stored", "class_probs": {"stored": 1.0}},
        {"error": {"code": "address_not_found", "message": "There is no file of that path."}},
        {"class": 1, "class_name": "3", "class_probs": {"3": 1.0}},
        {"class": 1, "class_name": "4", "class_probs": {"4": 1.0}},
        {"class": 1, "class_name": "odd", "class_probs": {"odd": 1.0}},
        {"class": 1, "class_name": "0", "class_probs": {"0": 1.0}},
    ]
    assert bench.pictures.seen["5"] == 1


def test_parts_stay_while_lines_have_failed_and_go_when_none_has(bench: Bench) -> None:
    images = bench.images(3)
    late = bench.folder / "late.png"
    job = bench.submit(*images, str(late), *images)
    parts = Path(f"{bench.folder / 'result.txt'}.parts-{job}")
    assert bench.finish(job).failed_lines == 1
    bench.round()
    assert len(list(parts.iterdir())) == 2
    late.write_text("late")
    assert bench.jobs.retry(job).state == "running"
    status = bench.finish(job)
    assert (status.state, status.failed_lines) == ("succeeded", 0)
    assert names(bench.result()) == ["0", "1", "2", "late", "0", "1", "2"]
    assert bench.pictures.seen == {"0": 2, "1": 2, "2": 2, "late": 1}, (
        "a line that did not fail was done again"
    )
    bench.round()
    assert not parts.exists()
    assert {each.name for each in bench.folder.iterdir() if each.suffix == ".part"} == set()
    with pytest.raises(BatchJobState, match="0 failed lines"):
        bench.jobs.retry(job)


def test_a_result_goes_to_an_object_store_in_one_piece(bench: Bench) -> None:
    store = fsspec.filesystem("memory")
    root = f"memory://{bench.folder.name}"
    store.pipe(f"/{bench.folder.name}/in/1.png", b"one")
    store.pipe(f"/{bench.folder.name}/list.txt", f"{root}/in/1.png\r\n{root}/in/2.png".encode())
    new = NewBatchJob(manifest=f"{root}/list.txt", sink=f"{root}/out/result.txt")
    status = bench.finish(bench.jobs.submit(new).id)
    assert (status.state, status.failed_lines) == ("succeeded", 1)
    one, two = store.cat(f"/{bench.folder.name}/out/result.txt").decode().splitlines()
    assert one == f'{root}/in/1.png, {{"class": 1, "class_name": "one", "class_probs": {{"one": 1.0}}}}'
    assert fields(two)["error"]["code"] == "address_not_found"
    again = bench.jobs.submit(new)
    failed = bench.finish(again.id)
    assert (failed.state, failed.error_code) == ("failed", "sink_exists")


def test_shards_that_the_broker_lost_are_enqueued_again_and_done_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.submit(*bench.images(16))
    bench.round()
    bench.round()
    first = bench.messages()
    assert [request.shard for request, _ in first] == [0, 4, 8], "the window has three places"
    bench.work(first[0])
    for _, task_id in first:
        bench.redis.delete(f"celery-task-meta-{task_id}")
    monkeypatch.setattr(scheduling, "LOST_AFTER", 0.0)
    bench.round()
    again = bench.messages()
    assert [request.shard for request, _ in again] == [4, 8, 12]
    assert [bench.work(message).state for message in [*again, *first, *again]] == ["done"] * 3 + [
        "skipped"
    ] * 6
    assert bench.finish(job).redone_lines == 0
    assert names(bench.result()) == [str(number) for number in range(16)]
    assert set(bench.pictures.seen.values()) == {1}


def test_only_the_unfinished_lines_of_a_lost_worker_are_done_again(bench: Bench) -> None:
    job = bench.submit(*bench.images(12))
    bench.round()
    bench.round()
    done, lost, waiting = bench.messages()
    assert bench.work(done).state == "done"
    assert bench.shards.claim(job, lost[0].shard, lost[1], 0.0) is not None
    bench.round()
    ((request, task_id),) = bench.messages()
    assert request == lost[0]
    assert task_id != lost[1]
    assert bench.work(waiting).state == "done"
    assert bench.work((request, task_id)).state == "done"
    assert bench.work(lost).state == "skipped"
    status = bench.finish(job)
    assert (status.done_lines, status.redone_lines) == (12, 4)
    assert set(bench.pictures.seen.values()) == {1}


def test_jobs_divide_the_window_between_them(bench: Bench) -> None:
    images = bench.images(16)
    many, few = bench.submit(*images), bench.submit(*images, sink=str(bench.folder / "2.txt"), window=1)
    bench.round()
    bench.round()
    assert [request.job for request, _ in bench.messages()] == [many, few]
    bench.jobs.cancel(many)
    bench.round()
    assert bench.messages() == [], "it wants one at a time"


def test_a_shard_belongs_to_who_has_its_lease(bench: Bench) -> None:
    job = bench.submit(*bench.images(4))
    bench.round()
    bench.round()
    ((request, task_id),) = bench.messages()
    mine = bench.shards.claim(job, 0, task_id, 30.0)
    assert mine is not None
    assert bench.work((request, "another")).state == "skipped"
    with bench.leases.hold(mine):
        bench.leases.renew()
        bench.leases.check(mine)
        bench.jobs.cancel(job)
        bench.leases.renew()
        with pytest.raises(Exception, match="was stopped"):
            bench.leases.check(mine)
    assert bench.work((request, "another")).state == "skipped"


def test_a_line_that_kills_workers_is_found_and_given_up(bench: Bench) -> None:
    images = bench.images(8)
    job = bench.submit(*images, shard_size=8)
    killer = 5
    deaths = 0
    for _ in range(60):
        bench.round()
        for request, task_id in bench.messages():
            shard = bench.shards.claim(job, request.shard, task_id, 30.0)
            assert shard is not None
            deadly = range(shard.plan.first_line, shard.plan.first_line + shard.plan.lines)
            if killer in deadly and shard.losses < (2 if len(deadly) > 1 else 3):
                deaths += 1
                bench.shards.claim(job, request.shard, task_id, -1.0)
            else:
                bench.work((request, task_id))
        if bench.jobs.status(job).ended:
            break
    assert bench.jobs.status(job).failed_lines == 1
    result = bench.result()
    assert names(result) == ["0", "1", "2", "3", "4", "error", "6", "7"]
    assert fields(result[killer])["error"]["code"] == "worker_lost"
    assert deaths <= 6


def test_a_cancelled_job_resumes_where_it_stopped(bench: Bench) -> None:
    job = bench.submit(*bench.images(16))
    bench.round()
    bench.round()
    first, *rest = bench.messages()
    bench.work(first)
    assert bench.jobs.cancel(job).state == "cancelled"
    assert [bench.work(message).state for message in rest] == ["skipped", "skipped"]
    bench.round()
    assert bench.messages() == []
    assert not (bench.folder / "result.txt").exists()
    assert bench.jobs.cancel(job).done_lines == 4
    assert bench.jobs.resume(job).state == "running"
    with pytest.raises(BatchJobState, match="nothing to resume"):
        bench.jobs.resume(job)
    assert bench.finish(job).state == "succeeded"
    assert names(bench.result()) == [str(number) for number in range(16)]
    assert set(bench.pictures.seen.values()) == {1}


def test_a_fault_of_the_service_fails_no_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job_store.batch_shards.FIRST_PAUSE", 60.0)
    job = bench.submit(*bench.images(2))
    bench.round()
    bench.round()
    bench.pictures.error = BlobStoreUnavailable("away")
    (message,) = bench.messages()
    assert bench.work(message).state == "failed"
    assert bench.jobs.status(job).state == "running"
    bench.round()
    assert bench.messages() == [], "it waits a moment first"
    bench.pictures.error = ModelUnknown("no such model")
    assert bench.work(message).state == "failed"
    status = bench.finish(job)
    assert (status.state, status.error_code, status.error_message) == (
        "failed",
        "model_unknown",
        "no such model",
    )
    bench.pictures.error = None
    bench.jobs.resume(job)
    assert bench.finish(job).state == "succeeded"


def test_files_outside_of_the_roots_are_neither_read_nor_written(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_text("secret")
    (bench.folder / "link.png").symlink_to(outside)
    (bench.folder / "folder.png").mkdir()
    root = f"memory://{bench.folder.name}"
    wicked = [
        str(outside),
        f"{bench.folder}/../{outside.parent.name}/secret.png",
        str(bench.folder / "link.png"),
        f"file://{outside}",
        f"file://host{bench.folder}/x.png",
        str(bench.folder / "folder.png"),
        f"{root}/../secret.png",
        f"{root}-2/x.png",
        f"simplecache::file://{outside}",
        f"local://{outside}",
        "https://example.org/x.png",
        "s3://bucket/x.png",
        "data:image/png;base64,AAAA",
        "/etc/passwd",
        "/dev/zero",
        f"{bench.folder}/{'x' * 300}",
    ]
    bench.finish(bench.submit(*wicked))
    codes = [fields(line)["error"]["code"] for line in bench.result()]
    relative = wicked.index("data:image/png;base64,AAAA")
    assert codes == [
        "address_not_found" if place == relative else "address_refused" for place in range(len(wicked))
    ]
    status = bench.finish(bench.submit("a", sink=str(outside)))
    assert (status.state, status.error_code) == ("failed", "address_refused")
    assert outside.read_text() == "secret"


def test_an_existing_file_is_overwritten_only_if_that_was_asked_for(bench: Bench) -> None:
    sink = bench.folder / "result.txt"
    job = bench.submit(*bench.images(1))
    bench.round()
    sink.write_text("precious")
    status = bench.finish(job)
    assert (status.state, status.error_code) == ("failed", "sink_exists")
    assert sink.read_text() == "precious"
    status = bench.finish(bench.submit(*bench.images(1), overwrite=True))
    assert status.state == "succeeded"
    assert names(bench.result()) == ["0"]


def test_an_object_that_a_store_does_not_give_fails_its_own_line_at_last(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_store.batch_shards.FIRST_PAUSE", 0.0)
    *images, wicked = bench.images(3)
    job = bench.submit(*images, wicked)
    read = LocalFile.read

    def refused(file: LocalFile, most: int) -> bytes:
        if str(file.path) == wicked:
            raise PlaceUnavailable("no answer")
        return read(file, most)

    monkeypatch.setattr(LocalFile, "read", refused)
    status = bench.finish(job)
    assert (status.state, status.failed_lines) == ("succeeded", 1)
    assert [fields(line).get("error", {}).get("code") for line in bench.result()] == [
        None,
        None,
        "place_unavailable",
    ]


def test_a_finished_shard_is_noted_when_the_database_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.submit(*bench.images(2))
    bench.round()
    bench.round()
    complete = bench.shards.complete
    away = iter([True, True, False])

    def sometimes(*arguments: Any) -> bool:
        if next(away):
            raise DatabaseUnavailable("away")
        return complete(*arguments)

    monkeypatch.setattr(bench.shards, "complete", sometimes)
    monkeypatch.setattr("workers.batch_jobs.shards.PAUSES", (0.0, 0.0, 0.0))
    assert [bench.work(message).state for message in bench.messages()] == ["done"]
    assert bench.finish(job).state == "succeeded"
    assert set(bench.pictures.seen.values()) == {1}


def test_what_a_killed_conductor_left_is_tidied_up(bench: Bench) -> None:
    job = bench.submit(*bench.images(1))
    left = bench.folder / f".batch-{job}-killed"
    left.mkdir()
    (left / "result").write_text("half")
    assert bench.finish(job).state == "succeeded"
    assert not left.exists()


def test_a_manifest_that_changes_under_way_stops_its_job(bench: Bench) -> None:
    job = bench.submit(*bench.images(8))
    bench.round()
    bench.round()
    manifest = Path(bench.jobs.status(job).manifest)
    manifest.write_text(manifest.read_text().replace("image 1", "image 7"))
    status = bench.finish(job)
    assert (status.state, status.error_code) == ("failed", "manifest_changed")


def test_an_empty_manifest_has_an_empty_result(bench: Bench) -> None:
    assert bench.finish(bench.submit()).lines == 0
    assert bench.result() == []


def test_one_conductor_works_at_a_time(bench: Bench) -> None:
    job = bench.submit(*bench.images(1))
    bench.round()
    other = bench.another_scheduler()
    assert not other.round()
    bench.scheduler.close()
    # The server ends the session, and with it the lock, a moment later.
    while not other.round():
        time.sleep(0.01)
    assert bench.jobs.status(job).state == "running"
    bench.scheduler = other


def test_a_wrong_job_is_refused_at_once(bench: Bench) -> None:
    with pytest.raises(ValueError, match=r"images\.classify"):
        bench.submit("a", task="gallery.build")
    with pytest.raises(InvalidRequest, match="colour"):
        bench.submit("a", options={"colour": 1})
    with pytest.raises(BatchJobNotFound, match="batch list"):
        bench.jobs.status("0" * 16)
    job = bench.submit("a", options={"top_k": 3})
    assert [each.id for each in bench.jobs.page()] == [job]
    assert bench.jobs.page(key_id="somebody") == []
    with pytest.raises(BatchJobNotFound):
        bench.jobs.cancel(job, key_id="somebody")


def test_an_ended_job_is_forgotten_after_a_while_and_its_result_stays(bench: Bench) -> None:
    images = bench.images(2)
    gone = [
        bench.submit(*images),
        bench.submit(*images, "missing.png", sink=str(bench.folder / "failed.txt")),
        bench.submit(*images, sink=str(bench.folder / "stopped.txt")),
    ]
    bench.jobs.cancel(gone[2])
    for job in gone[:2]:
        bench.finish(job)
    bench.round()
    kept = bench.submit(*images, sink=str(bench.folder / "kept.txt"))
    _age(bench, 3500)
    bench.round()
    assert len(bench.jobs.page()) == 4
    _age(bench, 3701)
    bench.round()
    assert {job.id for job in bench.jobs.page()} == {kept, *gone[1:]}, "their parts are still there"
    bench.round()
    assert [job.id for job in bench.jobs.page()] == [kept]
    assert [len(bench.result(name)) for name in ("result.txt", "failed.txt")] == [2, 3]
    assert bench.finish(kept).state == "succeeded"


def test_jobs_whose_parts_cannot_be_removed_do_not_keep_others_waiting(bench: Bench) -> None:
    jobs = {bench.submit("a", sink=str(bench.folder / f"{number}.txt")) for number in range(12)}
    for job in jobs:
        bench.jobs.cancel(job)
    _age(bench, 3601)
    seen: set[str] = set()
    for _ in range(200):
        offered = bench.jobs.list_removable(3600.0)
        assert len(offered) == 10
        seen.update(job.id for job in offered)
    assert seen == jobs


def _age(bench: Bench, seconds: int) -> None:
    with bench.database.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE batch_jobs SET finished_at = finished_at - interval '{seconds} s'"  # noqa: S608
        )
