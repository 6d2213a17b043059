"""Does an answer ever reach another caller? Also while model processes and workers are killed?

    python -m benchmarks.crosstalk [--items N] [--callers N] [--kills SECONDS]

Several client processes enqueue lines that carry a number in bars, each its own range of numbers, through one
service with a network that reads bars; the right answer to a line is its number, so an answer that went
astray names whose it was. Every so many seconds a model process is killed (-9), in every fifth turn a whole
worker, which is started again.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from local.checkout import CHECKOUT
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.errors import PaddlewheelError
from tests.named_lines import draw_named
from tests.named_service import NamedService

RANGE: Final = 10_000_000
"""Numbers of one caller."""

CHUNK: Final = 1000
PATIENCE: Final = 300.0
WORKER_TURNS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Answers by what they were; `strayed` are answers that belong to somebody else's item."""

    right: int
    strayed: int
    failed: int
    kills: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.right} items answered with their own number, {self.strayed} with another's, "
            f"{self.failed} with an error, in {self.seconds:.0f} s; {self.kills} processes were killed"
        )


def call(url: str, caller: int, items: int) -> Outcome:
    """One client process's part."""
    right = strayed = failed = 0
    with Client(url) as client:
        for start in range(0, items, CHUNK):
            numbers = [caller * RANGE + number for number in range(start, min(start + CHUNK, items))]
            pendings = client.enqueue_many(RECOGNIZE_TEXT, [draw_named(number) for number in numbers])
            for number, pending in zip(numbers, pendings, strict=True):
                try:
                    text = pending.result(PATIENCE).rec_text
                except PaddlewheelError as err:
                    print(f"{number}: error[{err.code}]: {err.message}", file=sys.stderr)
                    failed += 1
                    continue
                right += text == str(number)
                strayed += text != str(number)
    return Outcome(right=right, strayed=strayed, failed=failed)


def measure(
    service: NamedService, *, items: int, callers: int, kills: float, most: int | None = None
) -> Outcome:
    """Run the callers side by side; kill something every `kills` seconds, 0 for never, `most` times."""
    each = -(-items // callers)
    command = [sys.executable, "-m", "benchmarks.crosstalk", "--url", service.url, "--items", str(each)]
    began = time.monotonic()
    processes = [
        subprocess.Popen([*command, "--caller", str(number)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for number in range(1, callers + 1)
    ]
    killed = 0
    try:
        for turn in itertools.count(1):
            if not _still_running(processes, 0.0 if killed == most else kills):
                break
            killed += _kill_something(service, turn)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    parts = [json.loads(process.communicate()[0]) for process in processes]
    sums = {name: sum(part[name] for part in parts) for name in ("right", "strayed", "failed")}
    return Outcome(**sums, kills=killed, seconds=time.monotonic() - began)


def _still_running(processes: list[subprocess.Popen[str]], seconds: float) -> bool:
    """Wait that long, or until every caller is done."""
    end = time.monotonic() + (seconds or float("inf"))
    while any(process.poll() is None for process in processes):
        if time.monotonic() >= end:
            return True
        time.sleep(0.05)
    return False


def _kill_something(service: NamedService, turn: int) -> int:
    living = [worker for worker in service.workers if worker.process.poll() is None and worker.ready]
    if not living:
        return 0
    victim = living[turn % len(living)]
    if turn % WORKER_TURNS == 0:
        victim.process.kill()
        service.start_worker()
        return 1
    for process in victim.model_processes()[:1]:
        process.kill()
        return 1
    return 0


def main() -> int:
    """Print what came back; 1 if an answer strayed or failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crosstalk", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=float, default=3.0, help="seconds between two; 0 for none")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--caller", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.caller is not None:
        part = call(given.url, given.caller, given.items)
        print(json.dumps({"right": part.right, "strayed": part.strayed, "failed": part.failed}))
        return 0
    with NamedService(PADDLEWHEEL_VISIBILITY_TIMEOUT="4", PADDLEWHEEL_MAX_BATCH_SIZE="32") as service:
        for worker in [service.start_worker() for _ in range(given.workers)]:
            worker.wait_ready()
        outcome = measure(service, items=given.items, callers=given.callers, kills=given.kills)
    print(outcome)
    return 1 if outcome.strayed or outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
