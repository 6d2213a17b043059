"""What does a broker that is killed and restarted under load cost? No answer, and no worker.

    python -m benchmarks.broker_restarts [--restarts N] [--callers N] [--seed S]

Callers enqueue one line after the other and wait for each answer, while Valkey is killed (-9) in mid-task and
started again on its append-only file. Every accepted task has to be answered, and answered right, by the
worker that was there at the beginning.
"""

import argparse
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.lines import render_lines
from local.checkout import CHECKOUT
from local.processes import wait_until
from local.stack import LocalStack
from paddlewheel import RECOGNIZE_TEXT, Client, ImageRef
from paddlewheel.errors import BrokerUnavailable, PaddlewheelError

PATIENCE: Final = 60.0
"""Seconds after which an accepted task without an answer counts as lost."""

LINES: Final = 24


@dataclass
class Tally:
    """The callers' observations. `recoveries` are seconds from a kill to the next answer."""

    answered: int = 0
    refused: int = 0
    wrong: int = 0
    lost: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    exits: int = 0

    def __str__(self) -> str:
        slowest = max(self.recoveries, default=0.0)
        usual = sorted(self.recoveries)[len(self.recoveries) // 2] if self.recoveries else 0.0
        return (
            f"{self.answered} tasks answered over {len(self.recoveries)} broker restarts: {len(self.lost)} "
            f"lost, {self.wrong} wrong, {self.refused} refused and enqueued again, worker exits "
            f"{self.exits}; the next answer came {usual:.1f} s after a kill (median), {slowest:.1f} s at most"
        )

    @property
    def kept(self) -> bool:
        """Whether every answer came and was right."""
        return not (self.lost or self.wrong or self.exits)


class Callers:
    """Threads that enqueue and wait, each with a client of its own, until they are stopped."""

    def __init__(self, url: str, refs: list[ImageRef], expected: list[str], count: int, seed: int) -> None:
        self.tally = Tally()
        self._url = url
        self._refs = refs
        self._expected = expected
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(random.Random(seed + i), f"{seed}-{i}"))
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> Tally:
        """Let every caller finish what it waits for."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.tally

    def _call(self, chance: random.Random, name: str) -> None:
        with Client(self._url) as client:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                self._ask(client, chance.randrange(len(self._refs)), f"{name}-{number}")

    def _ask(self, client: Client, which: int, key: str) -> None:
        pending = None
        while pending is None:
            try:
                pending = client.enqueue(RECOGNIZE_TEXT, self._refs[which], idempotency_key=key)
            except BrokerUnavailable:
                with self._lock:
                    self.tally.refused += 1
        text = error = None
        try:
            text = pending.result(PATIENCE).rec_text
        except PaddlewheelError as err:
            error = f"{pending.task_id}: {err.code}: {err.message}"
        with self._lock:
            if error:
                self.tally.lost.append(error)
            elif text != self._expected[which]:
                self.tally.wrong += 1
            else:
                self.tally.answered += 1


def measure(
    url: str,
    images: list[bytes],
    restart: Callable[[], None],
    ended: Callable[[], bool],
    *,
    restarts: int,
    callers: int = 6,
    seed: int = 3,
) -> Tally:
    """Restart the broker that often under load; `ended` says whether the worker has."""
    chance = random.Random(seed)
    with Client(url) as client:
        refs = client.put_many(images)
        expected = [client.enqueue(RECOGNIZE_TEXT, ref).result(120).rec_text for ref in refs]
    load = Callers(url, refs, expected, callers, seed)
    tally = load.tally
    try:
        for _ in range(restarts):
            _progress(tally, 5 + chance.randrange(40))
            time.sleep(chance.random() / 20)
            killed = time.monotonic()
            before = tally.answered
            restart()
            wait_until(lambda before=before: tally.answered > before, PATIENCE)  # type: ignore[misc]
            tally.recoveries.append(time.monotonic() - killed)
            tally.exits += ended()
    finally:
        load.stop()
    return tally


def _progress(tally: Tally, answers: int) -> None:
    """Wait until so many more tasks are answered."""
    goal = tally.answered + answers
    wait_until(lambda: tally.answered >= goal, PATIENCE)


@contextmanager
def _stack() -> Iterator[LocalStack]:
    home = str(CHECKOUT / ".paddlewheel" / "models")
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(
            Path(folder),
            services={"valkey", "worker"},
            environment={"PADDLEWHEEL_MODEL_HOME": home, "PADDLEWHEEL_LOG_LEVEL": "WARNING", **os.environ},
            ephemeral=True,
        ) as stack,
    ):
        yield stack


def main() -> int:
    """Print the tally; 1 if an answer or the worker was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker_restarts", description=__doc__)
    parser.add_argument("--restarts", type=int, default=12)
    parser.add_argument("--callers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    with _stack() as stack:
        members = {member.service.name: member for member in stack.members}

        def restart() -> None:
            members["valkey"].kill()
            stack.launch(members["valkey"])

        tally = measure(
            stack.servers.broker_url,
            [line.png for line in render_lines(LINES, seed=given.seed, longest=4)],
            restart,
            lambda: members["worker-1"].exit_code() is not None,
            restarts=given.restarts,
            callers=given.callers,
            seed=given.seed,
        )
        print(tally)
        for each in tally.lost:
            print(each)
    return 0 if tally.kept else 1


if __name__ == "__main__":
    sys.exit(main())
