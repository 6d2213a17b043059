"""Naming a face over HTTP: our gateway with one worker beside PaddleX's basic serving.

    python -m benchmarks.serving [--clients 1,8,64] [--seconds S] [--markdown FILE] [--json FILE] [--plot SVG]

Everybody gets the same requests (`POST /face-recognition-infer`, base64, no drawing) from the same client,
has the same detector, embedder and gallery, and has to find the same faces with the same names; they take
turns. PaddleX is asked with an `indexKey`, as its clients do, for which it reads the gallery at
each request, and with the gallery of its configuration, which it reads once. Our own client, which asks
without HTTP, is beside them, and our gateway on Paddle, the engine of PaddleX.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import face_boxes
from benchmarks.known_faces import (
    KEY,
    THRESHOLD,
    TOP_K,
    Face,
    KnownFaces,
    Picture,
    fill,
    pictures,
    same_faces,
    to_faces,
    worker_environment,
    write_for_paddlex,
)
from benchmarks.paddlex_server import serving
from local.stack import LocalStack
from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.faces import IDENTIFY_FACES

PATH: Final = "/face-recognition-infer"
OURS: Final = "Paddlewheel"
OURS_ON_PADDLE: Final = "Paddlewheel, on Paddle"
OUR_CLIENT: Final = "Paddlewheel, its own client"
THEIRS: Final = "PaddleX, indexKey"
THEIRS_CONFIGURED: Final = "PaddleX, configured gallery"
WARM_UP: Final = 1.5
"""Seconds before those that count."""
Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Door:
    """One way to have a face named: a picture's number to its faces."""

    name: str
    ask: Callable[[int], Awaitable[list[Face]]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """The seconds of each answer, those of the whole, and those of CPU, of servers and client together."""

    times: list[float]
    taken: float
    cpu: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.taken


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="faces in the gallery")
    parser.add_argument("--clients", default="1,8,64", help="callers at a time, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="that these are divided into")
    parser.add_argument("--long-side", type=int, default=640, help="pixels of the photographs")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--plot", type=Path, help="an SVG of rates and latencies")
    parser.add_argument("--markdown", type=Path, help="the tables, as benchmarks/README.md has them")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    given = parser.parse_args()
    given.clients = [int(each) for each in given.clients.split(",")]
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder:
        report = asyncio.run(measure(Path(folder), given))
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(as_markdown(report))
    if given.plot:
        from benchmarks.serving_plot import plot

        plot(report, given.plot)


async def measure(root: Path, given: Namespace) -> Report:
    """Measure every way at every number of callers; they take turns, and only one runs at a time."""
    known = pictures(given.long_side)
    detector = await asyncio.to_thread(face_boxes.write_detector, root)
    report: Report = {"size": given.size, "clients": given.clients, "seconds": given.seconds}
    report["load before"] = os.getloadavg()[0]
    async with AsyncExitStack() as held:
        doors: list[Door] = []
        for engine in ("auto", "paddle"):
            (root / engine).mkdir()
            entered = ours(root / engine, detector, engine, known, given)
            found, gallery = await held.enter_async_context(entered)
            doors += found
        if not given.no_paddlex:
            write_for_paddlex(root / "paddlex", detector, gallery)
            doors += await held.enter_async_context(theirs(root / "paddlex", known, given))
        report["differences"] = await differences(doors, len(known))
        report["doors"] = {door.name: [] for door in doors}
        for callers in given.clients:
            for name, loads in (await in_turns(doors, known, callers, given)).items():
                report["doors"][name].append({"clients": callers} | figures(loads))
    if not given.no_paddlex:
        report["ratios"] = ratios(report["doors"])
    return report | {"load after": os.getloadavg()[0]}


@asynccontextmanager
async def ours(
    root: Path, detector: Path, engine: str, known: Sequence[Picture], given: Namespace
) -> AsyncIterator[tuple[list[Door], KnownFaces]]:
    """The gateway and one worker, and on the engine of `auto` also our own client."""
    (root / "stack").mkdir()
    services = {"valkey", "postgres", "worker", "gateway"}
    environment = worker_environment(root, detector, engine)
    async with AsyncExitStack() as held:
        stack = LocalStack(root / "stack", services=services, environment=environment, ephemeral=True)
        held.enter_context(stack)
        gallery = await asyncio.to_thread(fill, stack, root, known, given.size)
        (gateway,) = (each.service for each in stack.members if each.service.name == "gateway")
        http = await held.enter_async_context(http_client(gateway.address, given))
        if engine == "paddle":
            yield [over_http(OURS_ON_PADDLE, http, known, KEY)], gallery
            return
        client = await held.enter_async_context(AsyncClient(stack.servers.broker_url))
        yield [over_http(OURS, http, known, KEY), through_the_queue(client, known)], gallery


@asynccontextmanager
async def theirs(folder: Path, known: Sequence[Picture], given: Namespace) -> AsyncIterator[list[Door]]:
    """PaddleX's server, asked in both ways."""
    with serving(folder) as address:
        async with http_client(address, given) as http:
            yield [
                over_http(THEIRS, http, known, KEY),
                over_http(THEIRS_CONFIGURED, http, known, None),
            ]


def http_client(address: str, given: Namespace) -> httpx.AsyncClient:
    """One connection for each caller."""
    limits = httpx.Limits(max_connections=max(given.clients), max_keepalive_connections=max(given.clients))
    return httpx.AsyncClient(base_url=address, timeout=120, limits=limits)


def over_http(name: str, http: httpx.AsyncClient, known: Sequence[Picture], key: str | None) -> Door:
    """As PaddleX's clients ask."""
    bodies = []
    for picture in known:
        asked = {"image": base64.b64encode(picture.jpeg).decode(), "visualize": False}
        asked |= {"detThreshold": face_boxes.THRESHOLD, "recThreshold": THRESHOLD, "topk": TOP_K}
        bodies.append(json.dumps(asked | ({} if key is None else {"indexKey": key})).encode())

    async def ask(number: int) -> list[Face]:
        headers = {"Content-Type": "application/json"}
        answer = await http.post(PATH, content=bodies[number], headers=headers)
        answer.raise_for_status()
        return [
            {
                "bbox": face["bbox"],
                "score": face["score"],
                "labels": [each["label"] for each in face["recResults"]],
                "scores": [each["score"] for each in face["recResults"]],
            }
            for face in answer.json()["result"]["faces"]
        ]

    return Door(name=name, ask=ask)


def through_the_queue(client: AsyncClient, known: Sequence[Picture]) -> Door:
    """As services in Python ask: the bytes into the blob store, the task into the queue."""

    async def ask(number: int) -> list[Face]:
        pending = await client.enqueue(
            IDENTIFY_FACES, known[number].jpeg, gallery=KEY, threshold=THRESHOLD, top_k=TOP_K
        )
        return to_faces(await pending.result(120))

    return Door(name=OUR_CLIENT, ask=ask)


async def in_turns(
    doors: Sequence[Door], known: Sequence[Picture], callers: int, given: Namespace
) -> dict[str, list[Load]]:
    """The rounds of each way."""
    loads: dict[str, list[Load]] = {door.name: [] for door in doors}
    for _ in range(given.rounds):
        for door in doors:
            await load(door, known, callers, WARM_UP)
            loads[door.name].append(await load(door, known, callers, given.seconds / given.rounds))
            print(f"{door.name}, {callers}: {loads[door.name][-1].rate:.1f}/s", file=sys.stderr, flush=True)
    return loads


async def load(door: Door, known: Sequence[Picture], callers: int, seconds: float) -> Load:
    """So many callers, each asking again when it is answered; every answer has to name the person."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def call(first: int) -> None:
        number = first
        while (began := time.perf_counter()) < until:
            picture = number % len(known)
            faces = await door.ask(picture)
            times.append(time.perf_counter() - began)
            if [face["labels"][:1] for face in faces] != [[known[picture].person]]:
                raise RuntimeError(f"{door.name} took {known[picture].person} for {faces}.")
            number += 1

    cpu, began = cpu_seconds(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(call(number))
    return Load(times=times, taken=time.perf_counter() - began, cpu=cpu_seconds() - cpu)


def cpu_seconds() -> float:
    """CPU time so far of this process and of all that it started."""
    here, total = psutil.Process(), 0.0
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def figures(loads: Sequence[Load]) -> dict[str, float]:
    """Of all rounds together."""
    times = [1000 * each for load in loads for each in load.times]
    p50, p99 = (float(np.percentile(times, part)) for part in (50, 99))
    rate = len(times) / sum(load.taken for load in loads)
    cpu = 1000 * sum(load.cpu for load in loads) / len(times)
    return {"rate": rate, "p50_ms": p50, "p99_ms": p99, "cpu_ms": cpu, "answered": len(times)}


async def differences(doors: Sequence[Door], count: int) -> dict[str, float]:
    """The largest differences from our gateway's answers. Raises RuntimeError if the faces differ."""
    worst: dict[str, float] = {}
    for number in range(count):
        first = await doors[0].ask(number)
        for door in doors[1:]:
            names = doors[0].name, door.name
            for what, value in same_faces(first, await door.ask(number), names=names).items():
                worst[what] = max(worst.get(what, 0.0), value)
    return worst


def ratios(doors: dict[str, list[Report]]) -> dict[str, list[dict[str, float]]]:
    """Of ours to PaddleX's, for each number of callers: above 1, ours is better."""
    found = {}
    for one in (OURS, OURS_ON_PADDLE, OUR_CLIENT):
        for other in (THEIRS, THEIRS_CONFIGURED):
            found[f"{one} / {other}"] = [
                {
                    "rate": ours["rate"] / theirs["rate"],
                    "p50": theirs["p50_ms"] / ours["p50_ms"],
                    "p99": theirs["p99_ms"] / ours["p99_ms"],
                    "cpu": theirs["cpu_ms"] / ours["cpu_ms"],
                }
                for ours, theirs in zip(doors[one], doors[other], strict=True)
            ]
    return found


def show(report: Report) -> None:
    """Tables for people."""
    console = Console(width=140)
    for title, heads, lines in tables(report):
        table = Table(*heads, title=title)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    found = report["differences"]
    console.print(
        "The same faces and names from everybody; largest differences: "
        f"{found['corner']:.1e} pixels, {found['score']:.1e} of a score, {found['match']:.1e} of a match."
    )
    console.print(f"Load average {report['load before']:.1f} before, {report['load after']:.1f} after.")


def as_markdown(report: Report) -> str:
    """The same as tables of Markdown."""
    parts = []
    for title, (_, *heads), lines in tables(report):
        rows = [f"| {' | '.join(line)} |\n" for line in ((title, *heads), *lines)]
        parts.append("".join((rows[0], "|---" * (len(heads) + 1), "|\n", *rows[1:])))
    return "\n".join(parts)


def tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heads and lines: what was measured, and the ratios."""
    counts = [f"{count} {'callers' if count > 1 else 'caller'}" for count in report["clients"]]
    title = f"requests/s; p50 / p99 ms; CPU ms a request; {report['size']:,} faces"
    lines = [
        [
            name,
            *(
                f"{each['rate']:.1f}; {each['p50_ms']:.0f} / {each['p99_ms']:.0f}; {each['cpu_ms']:.0f}"
                for each in runs
            ),
        ]
        for name, runs in report["doors"].items()
    ]
    made = [(title, ["", *counts], lines)]
    if "ratios" in report:
        shares = [
            [
                name,
                *(
                    f"{each['rate']:.2f}; {each['p50']:.2f} / {each['p99']:.2f}; {each['cpu']:.2f}"
                    for each in runs
                ),
            ]
            for name, runs in report["ratios"].items()
        ]
        made.append(("how many times better: rate; p50 / p99; CPU", ["", *counts], shares))
    return made


if __name__ == "__main__":
    main()
