"""Lines per second through the whole queue, beside the bare engine loop and PaddleX's own predict.

    python -m benchmarks.throughput [--lines N] [--engine E] [--width-step N] [--no-paddlex] [--json]

All on this machine, one after the other, on the same cores: client, Valkey, one worker and its model process
share them, as the bare loop and PaddleX have them to themselves.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.lines import Line, render_lines
from local.checkout import CHECKOUT
from local.stack import LocalStack
from paddlewheel import RECOGNIZE_TEXT, Client

HOME: Final = CHECKOUT / ".paddlewheel" / "models"
MODEL: Final = "PP-OCRv4_mobile_rec"


def main() -> None:
    """Run the parts that were asked for, and print ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--longest", type=int, default=12, help="words in the longest line")
    parser.add_argument("--engine", default="auto", help="auto, paddle, openvino or onnxruntime")
    parser.add_argument("--width-step", type=int, default=None, help="the worker's default if not given")
    parser.add_argument("--passes", type=int, default=3, help="timed passes; the fastest is reported")
    parser.add_argument(
        "--paddlex-batch-sizes",
        type=lambda sizes: tuple(map(int, sizes.split(","))),
        default=(1, 2, 4, 8, 16, 32),
        help="batch sizes of PaddleX's predict",
    )
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    lines = render_lines(given.lines, longest=given.longest)
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        folder = Path(name)
        for number, line in enumerate(lines):
            (folder / f"{number:05d}.png").write_bytes(line.png)
        report = measure(folder, lines, given)
    print(json.dumps(report, indent=2)) if given.json else show(report)


def measure(folder: Path, lines: Sequence[Line], given: argparse.Namespace) -> dict[str, Any]:
    """Every part, and the ratios between them."""
    settings = {"PADDLEWHEEL_ENGINE": given.engine}
    if given.width_step:
        settings["PADDLEWHEEL_WIDTH_STEP"] = str(given.width_step)
    report: dict[str, Any] = {"queue": through_the_queue(lines, settings, given.passes)}
    report["bare"] = bare_loop(folder, given)
    best_network = max(each["network"] for each in report["bare"]["by_batch_size"].values())
    best_loop = max(each["loop"] for each in report["bare"]["by_batch_size"].values())
    speed = report["queue"]["lines_per_second"]
    report["ratios"] = {
        "queue / network alone": speed / best_network,
        "queue / whole bare loop": speed / best_loop,
    }
    if not given.no_paddlex:
        from benchmarks.paddlex_reference import predict_speeds

        report["paddlex"] = predict_speeds(folder, batch_sizes=given.paddlex_batch_sizes)
        report["ratios"]["queue / PaddleX predict"] = speed / max(report["paddlex"].values())
    return report


def through_the_queue(lines: Sequence[Line], settings: dict[str, str], passes: int) -> dict[str, Any]:
    """Client, Valkey, one worker, results back; and what a single line costs beyond its model time."""
    environment = {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_RECOGNITION_MODELS": MODEL,
    }
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as root,
        LocalStack(
            Path(root),
            services={"valkey", "worker"},
            environment={**environment, **settings},
            ephemeral=True,
        ) as stack,
        Client(stack.servers.broker_url) as client,
    ):
        read_all(client, lines)
        speeds, batches = [], []
        for _ in range(passes):
            seconds, batch = read_all(client, lines)
            speeds.append(len(lines) / seconds)
            batches.append(batch)
        overheads = sorted(idle_overheads(client, lines[: min(200, len(lines))]))
        return {
            # The fastest pass, as in the other loops: on a shared machine the rest measures the neighbours.
            "lines_per_second": max(speeds),
            "all_passes": speeds,
            "mean_batch": statistics.median(batches),
            "overhead_p50_ms": statistics.median(overheads),
            "overhead_p99_ms": overheads[int(len(overheads) * 0.99)],
            "memory_mb": memory(),
        }


def read_all(client: Client, lines: Sequence[Line]) -> tuple[float, float]:
    """Seconds from the first byte put to the last result, and the mean batch of a line."""
    began = time.perf_counter()
    pendings = client.enqueue_many(RECOGNIZE_TEXT, [line.png for line in lines])
    results = [pending.result() for pending in client.as_completed(pendings, timeout=600)]
    seconds = time.perf_counter() - began
    sizes = [result.served.batch_size for result in results]
    return seconds, statistics.mean(sizes)


def idle_overheads(client: Client, lines: Sequence[Line]) -> list[float]:
    """Milliseconds from enqueue to result beyond the model's own, one line at a time."""
    found = []
    for ref in client.put_many([line.png for line in lines]):
        began = time.perf_counter()
        served = client.enqueue(RECOGNIZE_TEXT, ref).result(60).served
        taken = (time.perf_counter() - began) * 1000
        found.append(taken - served.model_ms)
    return found


def memory() -> dict[str, float]:
    """Resident megabytes of the worker and of its model process."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        if "-m" in words and words[words.index("-m") + 1] in ("workers", "workers.inference.process"):
            found[words[words.index("-m") + 1]] = process.memory_info().rss / 1e6
    return found


def bare_loop(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """`benchmarks.bare_loop` with as many threads as a worker's model has."""
    from workers.settings import WorkerSettings

    step = given.width_step or WorkerSettings.model_fields["width_step"].default
    command = [
        *(sys.executable, "-m", "benchmarks.bare_loop", str(folder), "--home", str(HOME)),
        *("--model", MODEL, "--engine", given.engine, "--threads", str(os.cpu_count() or 1)),
        *("--width-step", str(step)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1), "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def show(report: dict[str, Any]) -> None:
    """Tables for people."""
    console = Console(width=100)
    table = Table("what", "lines/s", title=f"{report['bare']['lines']} lines, {report['bare']['engine']}")
    queue = report["queue"]
    table.add_row(
        f"through the queue, mean batch {queue['mean_batch']:.1f}", f"{queue['lines_per_second']:.1f}"
    )
    for size, speeds in report["bare"]["by_batch_size"].items():
        table.add_row(f"network alone, batch {size}", f"{speeds['network']:.1f}")
        table.add_row(f"bare loop, batch {size}", f"{speeds['loop']:.1f}")
    for size, speed in report.get("paddlex", {}).items():
        table.add_row(f"PaddleX predict, batch {size}", f"{speed:.1f}")
    console.print(table)
    ratios = Table("ratio", "")
    for name, ratio in report["ratios"].items():
        ratios.add_row(name, f"{ratio:.2f}")
    console.print(ratios)
    sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in queue["memory_mb"].items())
    console.print(
        f"idle, one line at a time, beyond the model's own time: p50 {queue['overhead_p50_ms']:.1f} ms, "
        f"p99 {queue['overhead_p99_ms']:.1f} ms; memory: {sizes}"
    )


if __name__ == "__main__":
    main()
