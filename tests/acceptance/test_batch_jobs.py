"""A batch job on real workers: one is killed in the middle, the broker forgets everything once."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from redis import Redis

from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from local.rendering import png
from paddlewheel.contracts.batch_jobs import BatchStatus, NewBatchJob
from tests.acceptance.conftest import PICTURES_ALONE, running_service
from tests.sample_pictures import sample_pictures

LINES = 1200
FAMILIES = {
    **PICTURES_ALONE,
    "PADDLEWHEEL_FACE_DETECTION_MODELS": "none",
    "PADDLEWHEEL_FACE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "none",
}


def pictures(folder: Path) -> list[Path]:
    """Small ones, and one that is none."""
    paths = []
    for name, pixels in sample_pictures().items():
        paths.append(folder / f"{name}, small.png")
        paths[-1].write_bytes(png(Image.fromarray(pixels[:, :, ::-1]).resize((64, 64))))
    broken = folder / "broken.png"
    broken.write_bytes(b"\x89PNG broken")
    return [*paths, broken]


def awaited(jobs: BatchJobStore, job: str, enough: Callable[[BatchStatus], bool]) -> BatchStatus:
    while not enough(status := jobs.status(job)):
        assert not status.ended or enough(status), status
        time.sleep(0.05)
    return status


def test_a_job_is_complete_in_order_and_each_line_once_whatever_is_killed(tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    addresses = [str(paths[number % len(paths)]) for number in range(LINES)]
    (tmp_path / "list.txt").write_text("\n".join(addresses))
    with running_service(
        workers=2,
        galleries=True,
        families=FAMILIES,
        PADDLEWHEEL_BATCH_ROOTS=str(tmp_path),
        PADDLEWHEEL_BATCH_SHARD_SIZE="20",
        PADDLEWHEEL_VISIBILITY_TIMEOUT="3",
    ) as service:
        database = Database(service.database_url)
        jobs = BatchJobStore(database)
        new = NewBatchJob(
            manifest=f"{tmp_path}/list.txt", sink=f"{tmp_path}/result.txt", options={"top_k": 3}
        )
        job = jobs.submit(new).id
        awaited(jobs, job, lambda status: status.done_lines > LINES / 6)
        service.workers()[0].kill()
        awaited(jobs, job, lambda status: status.done_lines > LINES / 2)
        with Redis.from_url(service.url) as redis:
            redis.flushall()
        status = awaited(jobs, job, lambda status: status.ended)
        database.close()
    broken = sum(address.endswith("broken.png") for address in addresses)
    assert (status.state, status.lines, status.failed_lines) == ("succeeded", LINES, broken)
    lines = (tmp_path / "result.txt").read_text().splitlines()
    results = [json.loads(line[len(each) + 2 :]) for line, each in zip(lines, addresses, strict=True)]
    assert all(line.startswith(f"{each}, {{") for line, each in zip(lines, addresses, strict=True))
    for number, fields in enumerate(results):
        if addresses[number].endswith("broken.png"):
            assert fields["error"]["code"] == "image_unsupported"
        else:
            assert fields["class_name"] == results[number % len(paths)]["class_name"]
            assert next(iter(fields["class_probs"])) == fields["class_name"]
            assert len(fields["class_probs"]) == 3
    print(f"{status.redone_lines} lines were begun again")
