"""A flow of bulk tasks that never runs dry, and what it costs: speed without a beginning and an end."""

import contextlib
import itertools
import statistics
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psutil

from paddlewheel import Client, ImageRef, TaskSpec

PORTION: Final = 16
AHEAD: Final = 6
"""Portions that are under way: more tasks than a worker takes at a time."""

_KINDS: Final = {"workers": "worker", "workers.inference.process": "model"}


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What one pass came to; `cpu_ms` a picture of the client, the broker, the worker and the model."""

    speed: float
    mean_batch: float
    cpu_ms: dict[str, float]
    engine: str
    model: str


def flow(
    client: Client, spec: TaskSpec[Any, Any], pictures: Sequence[ImageRef], seconds: float, **options: Any
) -> Flow:
    """Ask for pictures over and over, measured from one answered portion to another."""
    rest = itertools.cycle(pictures)

    def sent() -> Any:
        return client.enqueue_many(spec, list(itertools.islice(rest, PORTION)), **options)

    def answered(portion: Any) -> list[Any]:
        return [each.result().served for each in client.as_completed(portion, timeout=120)]

    under_way = deque(sent() for _ in range(AHEAD))
    answered(under_way.popleft())
    notes: list[Any] = []
    cpu, began = cpu_seconds(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        under_way.append(sent())
        notes += answered(under_way.popleft())
    elapsed, spent = time.perf_counter() - began, cpu_seconds() - cpu
    for portion in under_way:
        answered(portion)
    return Flow(
        speed=len(notes) / elapsed,
        mean_batch=statistics.mean(note.batch_size for note in notes),
        cpu_ms={kind: taken * 1000 / len(notes) for kind, taken in sorted(spent.items())},
        engine=notes[-1].engine,
        model=notes[-1].model,
    )


def cpu_seconds() -> Counter[str]:
    """CPU time so far of this process and of those that it started, by what they are."""
    found: Counter[str] = Counter()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # or one that has ended and is not yet forgotten
            times = process.cpu_times()
            found[_kind(process)] += times.user + times.system  # type: ignore[assignment]
    return found


def _kind(process: psutil.Process) -> str:
    if process.pid == psutil.Process().pid:
        return "client"
    words = process.cmdline()
    if "-m" in words:
        return _KINDS.get(words[words.index("-m") + 1], "other")
    return "broker" if "valkey" in process.name() or "redis" in process.name() else "other"
