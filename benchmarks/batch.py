"""Is the result of a long batch job whole, in order and each line once, whatever is killed on the way?

    python -m benchmarks.batch [--lines N] [--kill-seconds S] [--seed S] [--workers N] [--model NAME]

Two workers classify a manifest that repeats a few small real pictures. One worker at a time is killed (-9) at
a random time and restarted, and halfway the broker is flushed. Every line of the result is compared with the
answer to its picture, repeated lines are counted, and the workers' memory is recorded throughout. The job is
measured and not the model, so the model is a very small network unless --model names another one.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
from PIL import Image
from redis import Redis

from admin.batch_printing import pace
from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from local.checkout import CHECKOUT
from local.rendering import png
from local.stack import LocalStack
from paddlewheel.contracts.batch_jobs import BatchStatus, NewBatchJob
from tests.sample_pictures import sample_pictures
from tests.tiny_networks import make_networks

SIDE: Final = 64
"""Pixels of a picture's sides: small, because the job is measured and not the decoder."""

SMALL: Final = "classifier"
"""A network of tests.tiny_networks."""

SAMPLE_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 20.0


@dataclass
class Watch:
    """Observations while the job ran. `memory` is the resident set of a worker in MB, by time."""

    kills: int = 0
    flushes: int = 0
    memory: list[int] = field(default_factory=list)

    def grown(self) -> tuple[float, float]:
        """The median memory of a worker in the first and in the last third."""
        third = max(1, len(self.memory) // 3)
        return statistics.median(self.memory[:third]), statistics.median(self.memory[-third:])


class Havoc:
    """Kills workers at random times, one at a time, and flushes the broker once."""

    def __init__(self, stack: LocalStack, seed: int, pause: float) -> None:
        self._stack = stack
        self._chance = random.Random(seed)
        self._pause = pause
        self._workers = [each for each in stack.members if each.service.name.startswith("worker")]
        self._next = self._drawn()
        self.watch = Watch()

    def turn(self, status: BatchStatus) -> None:
        """Do what is due: record memory, kill a worker or flush the broker."""
        for worker in self._workers:
            process = worker.status().process
            if process is not None and process.alive():
                self.watch.memory.append(psutil.Process(process.pid).memory_info().rss >> 20)
        if time.monotonic() >= self._next and status.state == "running":
            victim = self._chance.choice(self._workers)
            victim.kill()
            self.watch.kills += 1
            self._stack.launch(victim)
            self._next = self._drawn()
        if not self.watch.flushes and status.lines and status.done_lines > status.lines / 2:
            with Redis.from_url(self._stack.servers.broker_url) as redis:
                redis.flushall()
            self.watch.flushes += 1

    def _drawn(self) -> float:
        return time.monotonic() + self._pause * self._chance.uniform(0.5, 1.5)


def write_manifest(folder: Path, lines: int) -> list[str]:
    """Pictures and a manifest of so many lines; the pictures' addresses, which it repeats."""
    addresses = []
    for number, pixels in enumerate(sample_pictures().values()):
        path = folder / f"{number}.png"
        path.write_bytes(png(Image.fromarray(pixels[:, :, ::-1]).resize((SIDE, SIDE))))
        addresses.append(str(path))
    addresses.append(str(folder / "missing.png"))
    with (folder / "filelist.txt").open("w") as file:
        file.writelines(f"{addresses[number % len(addresses)]}\n" for number in range(lines))
    return addresses


def faults(result: Path, addresses: Sequence[str], lines: int) -> list[str]:
    """List the faults of a result file, read as a stream."""
    found = []
    first: dict[str, str] = {}
    count = 0
    with result.open() as file:
        for count, line in enumerate(file, 1):
            expected = addresses[(count - 1) % len(addresses)]
            address, _, rest = line.partition(", {")
            fields = json.loads("{" + rest)
            name = fields.get("class_name") or fields["error"]["code"]
            if address != expected or first.setdefault(address, name) != name:
                found.append(f"line {count} is {address}: {name}")
    if count != lines:
        found.append(f"{count} lines instead of {lines}")
    return found


@contextmanager
def _stack(folder: Path, workers: int, model: str) -> Iterator[LocalStack]:
    home = folder / "models"
    if model == SMALL:
        make_networks(home)
    environment = {
        "PADDLEWHEEL_MODEL_HOME": str(home if model == SMALL else CHECKOUT / ".paddlewheel" / "models"),
        "PADDLEWHEEL_LOG_LEVEL": "ERROR",
        "PADDLEWHEEL_ENGINE": "paddle",
        **os.environ,
        "PADDLEWHEEL_CLASSIFICATION_MODELS": model,
        "PADDLEWHEEL_BATCH_ROOTS": str(folder),
        "PADDLEWHEEL_SEGMENT_URL": str(folder / "segments"),
        "PADDLEWHEEL_VISIBILITY_TIMEOUT": "6",
    }
    unused = ("RECOGNITION", "DETECTION", "FACE_DETECTION", "FACE_FEATURE", "IMAGE_FEATURE")
    environment |= {f"PADDLEWHEEL_{family}_MODELS": "none" for family in unused}
    environment["PADDLEWHEEL_ORIENTATION_MODEL"] = "none"
    services = {"valkey", "postgres", "worker"}
    place = folder / "stack"
    place.mkdir()
    with LocalStack(place, services=services, workers=workers, environment=environment, ephemeral=True) as it:
        yield it


def run(folder: Path, stack: LocalStack, lines: int, seed: int, pause: float) -> list[str]:
    """Do a job and print what it came to; what is wrong with its result."""
    addresses = write_manifest(folder, lines)
    sink = folder / "result.txt"
    database = Database(stack.servers.database_url)
    jobs = BatchJobStore(database)
    havoc = Havoc(stack, seed, pause)
    began = time.monotonic()
    new = NewBatchJob(manifest=str(folder / "filelist.txt"), sink=str(sink), options={"top_k": 5})
    job = jobs.submit(new).id
    said = began
    while not (status := jobs.status(job)).ended:
        havoc.turn(status)
        if time.monotonic() - said > REPORT_SECONDS:
            said = time.monotonic()
            print(f"{status.done_lines} of {lines} lines, {pace(status)}", flush=True)
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - began
    database.close()
    before, after = havoc.watch.grown()
    print(
        f"{status.state}: {lines} lines in {seconds:.0f} s, {lines / seconds:.0f} lines/s, with "
        f"{havoc.watch.kills} workers killed and {havoc.watch.flushes} flush of the broker; at most "
        f"{status.redone_lines} lines were done twice; {status.failed_lines} tell of an error (of a picture "
        f"that is not there); memory of a worker {before:.0f} MB in the first third, {after:.0f} MB in the "
        f"last, {max(havoc.watch.memory)} MB at most"
    )
    if status.state != "succeeded":
        return [f"the job has {status.state}: {status.error_message}"]
    return faults(sink, addresses, lines)


def main() -> int:
    """Print the figures; 1 if a line is missing, wrong, out of place or there twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-seconds", type=float, default=20.0, help="mean time between two kills")
    parser.add_argument("--model", default=SMALL)
    parser.add_argument("--seed", type=int, default=6)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        _stack(Path(folder), given.workers, given.model) as stack,
    ):
        wrong = run(Path(folder), stack, given.lines, given.seed, given.kill_seconds)
    for each in wrong[:10]:
        print(each)
    print(f"{len(wrong)} faults in the result")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
