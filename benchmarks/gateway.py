"""Naming a face over HTTP beside naming it through the queue, in one run.

    python -m benchmarks.gateway [--size N] [--clients 1,8,64] [--seconds S] [--json]

`POST /face-recognition-infer` with a gallery of 10,000, base64 as PaddleX's clients send it, without a
drawing; then the same pictures through our own client, from the same number of callers. Requests a second,
and the 50th and 99th percentile of their times. PaddleX's own serving is not among them: it cannot load the
default face detector.
"""

import argparse
import asyncio
import base64
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from api_client.async_client import AsyncClient
from api_client.client import Client
from api_client.faces import EMBED_FACES, IDENTIFY_FACES
from benchmarks.families import HOME
from benchmarks.identify import KEY, crowd, fingerprint, shrunk
from index_store.database import Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from local.photographs import photographs
from local.stack import LocalStack

Asking = Callable[[int], Awaitable[int]]
"""Asks with the picture of this number; the faces in the answer."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="faces in the gallery")
    parser.add_argument("--clients", default="1,8,64", help="callers at a time, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    clients = [int(each) for each in given.clients.split(",")]
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder:
        report = asyncio.run(measure(Path(folder), given.size, clients, given.seconds))
    if given.json:
        print(json.dumps(report))
    else:
        show(report)


async def measure(root: Path, size: int, clients: Sequence[int], seconds: float) -> dict[str, Any]:
    """Both doors at every number of callers."""
    (root / "stack").mkdir()
    environment = {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_SEGMENT_URL": str(root / "segments"),
    }
    services = {"valkey", "postgres", "worker", "gateway"}
    report: dict[str, Any] = {"size": size, "load before": os.getloadavg()[0], "runs": []}
    with LocalStack(root / "stack", services=services, environment=environment, ephemeral=True) as stack:
        pictures = [shrunk(each.path, 640) for each in photographs()]
        await asyncio.to_thread(fill, stack, root, pictures, size)
        (door,) = [member.service for member in stack.members if member.service.name == "gateway"]
        limits = httpx.Limits(max_connections=max(clients))
        async with (
            httpx.AsyncClient(base_url=door.address, timeout=120, limits=limits) as http,
            AsyncClient(stack.servers.broker_url) as client,
        ):
            bodies = [base64.b64encode(picture).decode() for picture in pictures]

            async def over_http(number: int) -> int:
                asked = {"image": bodies[number % len(bodies)], "indexKey": KEY, "visualize": False}
                answer = await http.post("/face-recognition-infer", json=asked)
                answer.raise_for_status()
                return len(answer.json()["result"]["faces"])

            async def through_the_queue(number: int) -> int:
                ref = await client.put(pictures[number % len(pictures)])
                pending = await client.enqueue(IDENTIFY_FACES, IDENTIFY_FACES.request(image=ref, gallery=KEY))
                return len((await pending.result(120)).faces)

            await load(over_http, 2, 2)
            for count in clients:
                for name, asking in (("http", over_http), ("queue", through_the_queue)):
                    report["runs"].append(
                        {"door": name, "clients": count} | await load(asking, count, seconds)
                    )
    return report | {"load after": os.getloadavg()[0]}


def fill(stack: LocalStack, root: Path, pictures: Sequence[bytes], size: int) -> None:
    """A sealed gallery of the photographs' faces and of strangers."""
    with Client(stack.servers.broker_url) as client:
        found = [client.enqueue(EMBED_FACES, picture).result(60).faces[0] for picture in pictures]
    rows = crowd(np.array([face.feature for face in found], dtype=np.float32), size)
    labels = [f"person {number}" for number in range(size)]
    store = GalleryStore(Database(stack.servers.database_url), SegmentFolder(root / "segments"))
    store.build(KEY, GallerySpec(dimension=128, model_fingerprint=fingerprint()), rows, labels)
    store.compact(KEY)


async def load(asking: Asking, clients: int, seconds: float) -> dict[str, float]:
    """So many callers, each asking again when it is answered; every answer has to hold a face."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def call(first: int) -> None:
        number = first
        while (began := time.perf_counter()) < until:
            if not await asking(number):
                raise RuntimeError("No face was found in a photograph of one.")
            times.append(time.perf_counter() - began)
            number += 1

    began = time.perf_counter()
    await asyncio.gather(*(call(number) for number in range(clients)))
    taken = time.perf_counter() - began
    percentiles = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return {"rate": len(times) / taken, "p50": percentiles[49] * 1000, "p99": percentiles[98] * 1000}


def show(report: dict[str, Any]) -> None:
    """As a table, HTTP's rate beside the queue's."""
    table = Table("door", "clients", "requests/s", "p50 ms", "p99 ms")
    for run in report["runs"]:
        figures = (f"{run['rate']:.1f}", f"{run['p50']:.0f}", f"{run['p99']:.0f}")
        table.add_row(run["door"], str(run["clients"]), *figures)
    console = Console()
    console.print(table)
    for http, queue in zip(report["runs"][::2], report["runs"][1::2], strict=True):
        share = http["rate"] / queue["rate"]
        console.print(f"{http['clients']} clients: HTTP does {share:.2f} of what the queue does.")
    console.print(f"Load average {report['load before']:.1f} before, {report['load after']:.1f} after.")


if __name__ == "__main__":
    main()
