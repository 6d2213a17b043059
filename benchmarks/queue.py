"""Lines per second and latencies through the queue, beside Celery alone, celery-batches and PaddleX.

    python -m benchmarks.queue [--seconds S] [--only real|fixed] [--plot FILE] [--markdown FILE]

Everybody answers the same messages from the same client, Valkey and images, with the same decoding,
preparation and network, one after the other on the same cores. `real` is PP-OCRv4_mobile_rec; `fixed` is a
model that takes 20 ms a batch and no CPU, so that the queues can be compared at a rate that the real model
cannot reach here. Arrivals are an open loop; see `benchmarks.open_loop`.
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

from rich.console import Console
from rich.table import Table

from api_client import Client, ImageRef
from benchmarks.lines import render_lines
from benchmarks.open_loop import at_once, at_rate
from benchmarks.queue_parties import HOME, Party, fixed_time_parties, real_parties
from local.checkout import CHECKOUT
from local.stack import LocalStack

MODEL: Final = "PP-OCRv4_mobile_rec"
RATES: Final = (40.0, 300.0)
Report = dict[str, Any]


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of arrivals at each rate")
    parser.add_argument("--lines", type=int, default=300, help="asked for at once")
    parser.add_argument("--longest", type=int, default=3, help="words in the longest line")
    parser.add_argument(
        "--passes", type=int, default=2, help="of the lines asked for at once; the best counts"
    )
    parser.add_argument("--engines", default="paddle", help="named engines beside auto, with commas")
    parser.add_argument("--only", choices=("real", "fixed"), help="one of the two models")
    parser.add_argument("--parties", default="", help="only those whose name contains this")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--plot", type=Path, help="an SVG of the fixed-time model's latencies")
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
    """Every party, then the bare loop and PaddleX."""
    report: Report = {"lines": len(lines), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if given.only != "fixed":
        parties = real_parties(tuple(filter(None, given.engines.split(","))))
        report["real"] = serve_all(parties, lines, given)
        report["bare"] = bare_loop(folder)
        if not given.no_paddlex:
            from benchmarks.paddlex_reference import predict_speeds

            report["paddlex"] = predict_speeds(folder, batch_sizes=(1, 8), repeats=2)
    if given.only != "real":
        report["fixed"] = serve_all(fixed_time_parties(), lines, given)
    report["ratios"] = ratios(report)
    return report


def serve_all(parties: Sequence[Party], lines: Sequence[bytes], given: Namespace) -> dict[str, Report]:
    """Each party's figures."""
    return {party.name: serve(party, lines, given) for party in parties if given.parties in party.name}


def serve(party: Party, lines: Sequence[bytes], given: Namespace) -> Report:
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
            report = asyncio.run(ask(url, refs, party, given))
    print(json.dumps(report), file=sys.stderr, flush=True)
    return report


async def ask(url: str, refs: Sequence[ImageRef], party: Party, given: Namespace) -> Report:
    """At once, then at each rate."""
    await at_once(url, refs, 64, 1)
    report: Report = {"at_once": await at_once(url, refs, len(refs), given.passes)}
    if party.ours:
        report["together"] = await at_once(url, refs, len(refs), given.passes, together=True)
    report["rates"] = [(await at_rate(url, refs, rate, given.seconds)).as_json() for rate in RATES]
    return report


def bare_loop(folder: Path) -> Report:
    """`benchmarks.bare_loop` with as many threads as the worker's model has."""
    cores = str(os.cpu_count() or 1)
    command = [
        *(sys.executable, "-m", "benchmarks.bare_loop", str(folder), "--home", str(HOME)),
        *("--model", MODEL, "--engine", "openvino", "--threads", cores, "--width-step", "1"),
        *("--batch-sizes", "1,8", "--repeats", "3"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": cores, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


def ratios(report: Report) -> dict[str, float]:
    """Ours against everybody's, at once."""
    found: dict[str, float] = {}
    for kind in ("real", "fixed"):
        parties = report.get(kind, {})
        ours = parties.get("Paddlewheel")
        if ours is None:
            continue
        best = max(ours["at_once"], ours["together"])
        if kind == "real" and "bare" in report:
            sizes = report["bare"]["by_batch_size"].values()
            found["real: Paddlewheel / network alone"] = best / max(each["network"] for each in sizes)
            found["real: Paddlewheel / whole bare loop"] = best / max(each["loop"] for each in sizes)
        if kind == "real" and "paddlex" in report:
            found["real: Paddlewheel / PaddleX predict"] = best / max(report["paddlex"].values())
        for name, each in parties.items():
            if each is not ours:
                found[f"{kind}: Paddlewheel / {name}, a task a line"] = ours["at_once"] / each["at_once"]
    return found


def show(report: Report) -> None:
    """Tables for people."""
    console = Console(width=120)
    for kind, title in (("real", MODEL), ("fixed", "20 ms a batch")):
        if kind not in report:
            continue
        heads = [f"p50 / p99 ms at {rate:g}/s" for rate in RATES]
        table = Table("", "lines/s at once", "16 a task", *heads, title=title)
        for name, each in report[kind].items():
            together = f"{each['together']:.0f}" if "together" in each else ""
            table.add_row(name, f"{each['at_once']:.0f}", together, *map(latencies, each["rates"]))
        console.print(table)
    for size, speeds in report.get("bare", {}).get("by_batch_size", {}).items():
        console.print(
            f"bare, batch {size}: network {speeds['network']:.0f} lines/s, whole loop {speeds['loop']:.0f}"
        )
    for size, speed in report.get("paddlex", {}).items():
        console.print(f"PaddleX predict, batch {size}: {speed:.0f} lines/s")
    for name, ratio in report["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")


def as_markdown(report: Report) -> str:
    """The same as tables of Markdown."""
    lines: list[str] = []
    for kind, title in (("real", MODEL), ("fixed", "20 ms a batch")):
        if kind not in report:
            continue
        heads = [f"p50 / p99 ms at {rate:g}/s" for rate in RATES]
        lines += [
            f"| {' | '.join((title, 'lines/s at once', '16 lines a task', *heads))} |",
            "|---|---|---|---|---|",
        ]
        for name, each in report[kind].items():
            together = f"{each['together']:.0f}" if "together" in each else ""
            cells = (name, f"{each['at_once']:.0f}", together, *map(latencies, each["rates"]))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    for size, speeds in report.get("bare", {}).get("by_batch_size", {}).items():
        network, loop = speeds["network"], speeds["loop"]
        lines.append(f"- bare, batch {size}: network {network:.0f} lines/s, whole loop {loop:.0f}")
    for size, speed in report.get("paddlex", {}).items():
        lines.append(f"- PaddleX's `predict`, batch {size}: {speed:.0f} lines/s")
    lines += ["", "| ratio | |", "|---|---|"]
    lines += [f"| {name} | {ratio:.2f} |" for name, ratio in report["ratios"].items()]
    return "\n".join(lines) + "\n"


def latencies(load: Report) -> str:
    """As people read them; a rate that a party cannot sustain says so."""
    if load["p99_ms"] is None:
        unanswered = load["arrivals"] - load["answered"]
        p50 = "none" if load["p50_ms"] is None else f"{load['p50_ms']:.0f}"
        return f"{p50} / none, {unanswered} of {load['arrivals']} unanswered"
    return f"{load['p50_ms']:.0f} / {load['p99_ms']:.0f}"


if __name__ == "__main__":
    main()
