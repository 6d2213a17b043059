"""Lines per second and latencies through the queue, beside Celery alone, celery-batches and PaddleX.

    python -m benchmarks.queue [--seconds S] [--only real|fixed] [--plot FILE] [--markdown FILE]

Everybody answers the same messages from the same client, Valkey and images, with the same decoding,
preparation and network, one after the other on the same cores. Three models: PP-OCRv4_mobile_rec on Paddle
and OpenVINO, PP-OCRv6_small_rec on OpenVINO and ONNX Runtime, and one that takes 20 ms a batch and no CPU, so
that the queues can be compared at a rate that a real model cannot reach here. Arrivals are an open loop; see
`benchmarks.open_loop`. At saturation Paddlewheel, the bare loop and PaddleX's `predict` take turns, and the
best turn of each counts. About twenty minutes.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.lines import render_lines
from benchmarks.open_loop import PATIENCE, at_once, at_rate
from benchmarks.queue_parties import HOME, ONNX_MODEL, Party, fixed_time_parties, onnx_parties, real_parties
from benchmarks.queue_report import MODEL, Report, as_markdown, ratios, show
from local.checkout import CHECKOUT
from local.stack import LocalStack
from paddlewheel import Client, ImageRef

RATES: Final = (40.0, 300.0)
BESIDE_BARE: Final = frozenset({"Paddlewheel", "Paddlewheel, two slots"})
"""The party that takes turns with the bare loop and PaddleX."""

FIXED_LONGEST: Final = 3
"""Words in the longest line for the model of a fixed time: lines of exact widths make batches when short."""

HOPELESS: Final = 3.0
"""Seconds of patience at the rate that no real model reaches here."""


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of arrivals at each rate")
    parser.add_argument("--lines", type=int, default=150, help="asked for at once")
    parser.add_argument("--longest", type=int, default=12, help="words in the longest line")
    parser.add_argument("--passes", type=int, default=2, help="of the lines asked for at once; best counts")
    parser.add_argument("--turns", type=int, default=2, help="of Paddlewheel, the bare loop and PaddleX")
    parser.add_argument("--only", choices=("real", "fixed"), help="the networks, or the 20 ms a batch")
    parser.add_argument("--parties", default="", help="only those whose name contains this")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--plot", type=Path, help="an SVG of the latencies")
    parser.add_argument("--markdown", type=Path, help="the tables, as benchmarks/README.md has them")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    given = parser.parse_args()
    lines = [line.png for line in render_lines(given.lines, longest=given.longest)]
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        folder = Path(name)
        for number, line in enumerate(lines):
            (folder / f"{number:05d}.png").write_bytes(line)
        report = measure(folder, lines, given)
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(as_markdown(report))
    if given.plot:
        from benchmarks.queue_plot import plot

        plot(report, given.plot)


def measure(folder: Path, lines: Sequence[bytes], given: Namespace) -> Report:
    """Every model's parties, and the turns."""
    report: Report = {"lines": len(lines), "cores": os.cpu_count(), "load": os.getloadavg()[0], "bare": {}}
    if given.only != "fixed":
        # Two seconds are enough of a rate that nobody sustains.
        real = {40.0: (given.seconds, PATIENCE), 300.0: (given.seconds / 2, HOPELESS)}
        report["real"] = serve_all(real_parties(), lines, real, given)
        if set(report["real"]) >= BESIDE_BARE:
            take_turns(report, folder, lines, given)
        report["onnx"] = serve_all(onnx_parties(), lines, real, given)
        for name in report["onnx"]:
            engine = name.rpartition(" ")[2]
            report["bare"][f"{ONNX_MODEL}, {engine}"] = bare_loop(folder, ONNX_MODEL, engine)
        if not onnx_parties():
            print(f"{ONNX_MODEL} is not installed: python -m workers.models.home.install", file=sys.stderr)
    if given.only != "real":
        fixed = dict.fromkeys(RATES, (given.seconds, PATIENCE))
        short = [line.png for line in render_lines(2 * given.lines, longest=FIXED_LONGEST)]
        report["fixed"] = serve_all(fixed_time_parties(), short, fixed, given)
    report["ratios"] = ratios(report)
    return report


def take_turns(report: Report, folder: Path, lines: Sequence[bytes], given: Namespace) -> None:
    """At saturation: Paddlewheel, the bare loop, PaddleX, Paddlewheel, ...; a neighbour's load hits all."""
    ours = [party for party in real_parties() if party.name in BESIDE_BARE]
    turns: Report = report.setdefault("turns", {})
    bare = f"{MODEL}, openvino"
    for _ in range(given.turns):
        for party in ours:
            best(turns.setdefault(party.name, {}), serve(party, lines, {}, given))
        best(report["bare"].setdefault(bare, {}), bare_loop(folder, MODEL, "openvino"))
        if not given.no_paddlex:
            from benchmarks.paddlex_reference import predict_speeds

            speeds = predict_speeds(folder, batch_sizes=(1, 8), repeats=2)
            best(report.setdefault("paddlex", {}), {str(size): speed for size, speed in speeds.items()})


def best(known: Report, found: Report) -> None:
    """Keep the larger of each speed."""
    for name, value in found.items():
        if isinstance(value, dict):
            best(known.setdefault(name, {}), value)
        elif isinstance(value, float):
            known[name] = max(value, known.get(name, 0.0))


def serve_all(
    parties: Sequence[Party],
    lines: Sequence[bytes],
    rates: dict[float, tuple[float, float]],
    given: Namespace,
) -> dict[str, Report]:
    """Each party's figures. `rates` are lines a second, each with its seconds of arrivals and of patience."""
    return {party.name: serve(party, lines, rates, given) for party in parties if given.parties in party.name}


def serve(
    party: Party, lines: Sequence[bytes], rates: dict[float, tuple[float, float]], given: Namespace
) -> Report:
    """Start a Valkey and the party, and ask it at once and at every rate."""
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as root,
        LocalStack(Path(root), services={"valkey"}, ephemeral=True) as stack,
    ):
        url = stack.servers.broker_url
        with Client(url) as client:
            refs = client.put_many(lines)
        print(f"{party.name}:", end=" ", file=sys.stderr, flush=True)
        with party.running(url):
            report = asyncio.run(ask(url, refs, party, rates, given))
    print(json.dumps(report), file=sys.stderr, flush=True)
    return report


async def ask(
    url: str,
    refs: Sequence[ImageRef],
    party: Party,
    rates: dict[float, tuple[float, float]],
    given: Namespace,
) -> Report:
    """At once, then at each rate."""
    await at_once(url, refs, 64, 1)
    report: Report = {"at_once": await at_once(url, refs, len(refs), given.passes)}
    if party.ours:
        report["together"] = await at_once(url, refs, len(refs), given.passes, together=True)
    if rates:
        report["rates"] = [
            (await at_rate(url, refs, rate, seconds, patience=patience)).as_json()
            for rate, (seconds, patience) in rates.items()
        ]
    return report


def bare_loop(folder: Path, model: str, engine: str) -> dict[str, Any]:
    """`benchmarks.bare_loop` with as many threads as the worker's model has: speeds by batch size."""
    cores = str(os.cpu_count() or 1)
    command = [
        *(sys.executable, "-m", "benchmarks.bare_loop", str(folder), "--home", str(HOME)),
        *("--model", model, "--engine", engine, "--threads", cores, "--width-step", "1"),
        *("--batch-sizes", "1,8", "--repeats", "2", "--in-order"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": cores, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    speeds: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["by_batch_size"]
    return speeds


if __name__ == "__main__":
    main()
