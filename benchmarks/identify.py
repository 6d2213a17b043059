"""`faces.identify` end to end at a large gallery, and where its time goes, beside PaddleX's pipeline.

    python -m benchmarks.identify [--size N] [--repeats N] [--no-paddlex] [--markdown FILE] [--json FILE]

Photographs on one side, names on the other, one at a time on an idle system. PaddleX runs its
face_recognition pipeline in its own process, without a queue or a server; both sides have the same detector
(`benchmarks.face_boxes`), embedder and gallery, and have to find the same faces with the same names. Ours is
measured on the engine that `auto` takes and on Paddle, which is PaddleX's, and as it ships: by landmarks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import face_boxes
from benchmarks.known_faces import (
    EMBEDDER_OF_PADDLEX,
    KEY,
    LANDMARKS,
    THRESHOLD,
    TOP_K,
    Face,
    KnownFaces,
    Picture,
    Rows,
    fill,
    galleries,
    pictures,
    same_faces,
    to_faces,
    worker_environment,
    write_for_paddlex,
)
from benchmarks.paddlex_reference import child_environment, interpreter
from index_store.store import GalleryStore
from local.stack import LocalStack
from paddlewheel import DETECT_FACES, IDENTIFY_FACES, Client
from paddlewheel.contracts.faces import IdentifiedFaces
from workers.services.face_finding import Way

PARTS: Final = (
    "end to end",
    "queue",
    "detection network",
    "embedding network",
    "search",
    "in the worker",
)
PADDLEX: Final = {"PaddleX": "Flat", "PaddleX, HNSW32": "HNSW32"}
"""Its pipeline, with the index that its serving makes and with the default of its `build_index`."""

EXACT: Final = "Flat"
"""Scans every row; a graph may miss the nearest."""

Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Party:
    """One way of ours to name faces."""

    name: str
    engine: str
    way: Way = "cropped"

    @property
    def key(self) -> str:
        """Its gallery: embeddings of aligned and of cropped faces are not compared."""
        return f"{KEY}-{self.way}"

    @property
    def detector(self) -> str:
        """What finds the faces."""
        return LANDMARKS if self.way == "aligned" else face_boxes.NAME


PARTIES: Final = (
    Party(name="Paddlewheel", engine="auto"),
    Party(name="Paddlewheel, as it ships", engine="auto", way="aligned"),
    Party(name="Paddlewheel, on Paddle", engine="paddle"),
)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identify", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000, help="vectors in the gallery")
    parser.add_argument("--repeats", type=int, default=30, help="times that each photograph is asked for")
    parser.add_argument("--long-side", type=int, default=640, help="pixels of the photographs")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--markdown", type=Path, help="the table, as benchmarks/README.md has it")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        report = measure(Path(name), given)
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(as_markdown(report))


def measure(root: Path, given: argparse.Namespace) -> Report:
    """Paddlewheel on each engine, then PaddleX; nothing runs beside another."""
    known = pictures(given.long_side)
    detector = face_boxes.write_detector(root)
    report: Report = {"size": given.size, "asked": given.repeats * len(known), "parties": {}}
    report["load before"] = os.getloadavg()[0]
    answers: list[list[list[Face]]] = []
    for engine in dict.fromkeys(party.engine for party in PARTIES):
        (root / engine).mkdir()
        with running(root / engine, detector, engine) as stack:
            for party in (party for party in PARTIES if party.engine == engine):
                faces = fill(stack, root / engine, known, given.size, way=party.way, key=party.key)
                report["parties"][party.name], found = ask(stack, root / engine, party, known, faces, given)
                if party.way == "cropped":  # aligned faces have other embeddings, so other scores
                    answers.append(found)
                if party == PARTIES[0]:
                    write_for_paddlex(root / "paddlex", detector, faces)
    if not given.no_paddlex:
        differences = []
        report["named right"] = {party.name: 1.0 for party in PARTIES}  # `ask` takes nothing less
        for name, kind in PADDLEX.items():
            report["parties"][name], theirs = paddlex(root / "paddlex", known, given.repeats, kind)
            named = [
                face["labels"][:1] == [picture.person]
                for picture, faces in zip(known, theirs, strict=True)
                for face in faces
            ]
            report["named right"][name] = sum(named) / len(named)
            for ours in answers:
                pairs = zip(ours, theirs, strict=True)
                differences += [same_faces(one, other, named=kind == EXACT) for one, other in pairs]
        report["differences"] = {name: max(each[name] for each in differences) for name in differences[0]}
        report["ratios"] = ratios(report["parties"])
    return report | {"load after": os.getloadavg()[0]}


@contextmanager
def running(root: Path, detector: Path, engine: str) -> Iterator[LocalStack]:
    """Valkey, Postgres and one worker."""
    (root / "stack").mkdir()
    environment = worker_environment(root, detector, engine)
    services = {"valkey", "postgres", "worker"}
    with LocalStack(root / "stack", services=services, environment=environment, ephemeral=True) as stack:
        yield stack


def ask(
    stack: LocalStack,
    root: Path,
    party: Party,
    known: Sequence[Picture],
    faces: KnownFaces,
    given: argparse.Namespace,
) -> tuple[Report, list[list[Face]]]:
    """Percentiles of each part, and the faces of each picture, which must be identified correctly every time.

    The detector's time is that of a `faces.detect` of the same pictures, the search's that of the same
    search in this process: a task tells the time of its last model.
    """
    with Client(stack.servers.broker_url) as client:
        # The first picture of a shape prepares the engine, the first search opens the files.
        warm = [[identified(client, party, picture) for picture in known] for _ in range(3)]
        parts: dict[str, list[float]] = {name: [] for name in PARTS}
        for picture in list(known) * given.repeats:
            found = client.enqueue(DETECT_FACES, picture.jpeg, model=party.detector).result(60)
            parts["detection network"].append(found.served.model_ms)
        # In a loop of their own: the same picture just before would have warmed its shape.
        for picture in list(known) * given.repeats:
            began = time.perf_counter()
            result = identified(client, party, picture)
            parts["end to end"].append((time.perf_counter() - began) * 1000)
            if [face.label for face in result.faces] != [picture.person]:
                raise RuntimeError(f"{picture.person} was identified as {result.faces}.")
            parts["queue"].append(result.served.queue_ms or 0.0)
            parts["embedding network"].append(result.served.model_ms)
            parts["in the worker"].append(result.served.total_ms)
    parts["search"] = searches(galleries(stack, root), party, faces.rows[: len(known)], given.repeats)
    engines = {each.served.model: each.served.engine for each in (found, result)}
    return {"engines": engines} | percentiles(parts), [to_faces(result) for result in warm[-1]]


def identified(client: Client, party: Party, picture: Picture) -> IdentifiedFaces:
    """Whose faces are in a picture; its bytes are put into the blob store on the way."""
    pending = client.enqueue(
        IDENTIFY_FACES,
        picture.jpeg,
        gallery=party.key,
        detection_model=party.detector,
        threshold=THRESHOLD,
        top_k=TOP_K,
    )
    return pending.result(120)


def searches(store: GalleryStore, party: Party, queries: Rows, repeats: int) -> list[float]:
    """Milliseconds of each search but the first, which opens the files."""
    times = []
    for query in [queries[0], *np.repeat(queries, repeats, axis=0)]:
        began = time.perf_counter()
        store.search(party.key, query[np.newaxis], top_k=TOP_K, threshold=THRESHOLD)
        times.append((time.perf_counter() - began) * 1000)
    return times[1:]


def paddlex(
    folder: Path, known: Sequence[Picture], repeats: int, index_type: str
) -> tuple[Report, list[list[Face]]]:
    """`paddlex_faces.py` in PaddleX's environment."""
    for number, picture in enumerate(known):
        (folder / f"{number:02d}.jpg").write_bytes(picture.jpeg)
    child = Path(__file__).with_name("paddlex_faces.py")
    line = [str(interpreter()), "-P", str(child), "ask", str(folder), str(repeats), index_type]
    done = subprocess.run(
        line, env=child_environment(), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"PaddleX failed:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    parts = {name: [1000 * each for each in taken] for name, taken in answer["seconds"].items()}
    engines = {face_boxes.NAME: "paddle", EMBEDDER_OF_PADDLEX: "paddle"}
    return {"engines": engines} | percentiles(parts), answer["faces"]


def percentiles(parts: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The median and the 99th percentile of each part."""
    return {
        name: {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}
        for name, times in parts.items()
    }


def ratios(parties: dict[str, Report]) -> dict[str, dict[str, dict[str, float]]]:
    """PaddleX's times end to end over each of ours: above 1, ours is faster."""
    return {
        theirs: {
            party.name: {
                part: parties[theirs]["end to end"][part] / parties[party.name]["end to end"][part]
                for part in ("p50", "p99")
            }
            for party in PARTIES
        }
        for theirs in PADDLEX
    }


def show(report: Report) -> None:
    """A table for people."""
    title = f"a face among {report['size']:,}, {report['asked']} times; milliseconds, p50 / p99"
    table = Table("", *report["parties"], title=title)
    for name, cells in rows(report):
        table.add_row(name, *cells)
    console = Console(width=150)
    console.print(table)
    for name, each in report["parties"].items():
        console.print(f"{name}: {', '.join(f'{model} on {e}' for model, e in each['engines'].items())}")
    for theirs, shares in report.get("ratios", {}).items():
        for name, each in shares.items():
            console.print(f"{theirs} / {name}: {each['p50']:.2f} at p50, {each['p99']:.2f} at p99")
    if "differences" in report:
        found = report["differences"]
        console.print(
            "The same faces and names on both sides; largest differences: "
            f"{found['corner']:.1e} pixels, {found['score']:.1e} of a score, {found['match']:.1e} of a match."
        )
    console.print(f"Load average {report['load before']:.1f} before, {report['load after']:.1f} after.")


def as_markdown(report: Report) -> str:
    """The same as a table of Markdown."""
    lines = [
        f"| milliseconds, p50 / p99 | {' | '.join(report['parties'])} |",
        f"|---|{'---|' * len(report['parties'])}",
    ]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows(report)]
    for theirs, shares in report.get("ratios", {}).items():
        found = [shares.get(name) for name in report["parties"]]
        cells = [f"{each['p50']:.2f} / {each['p99']:.2f}" if each else "" for each in found]
        lines.append(f"| {theirs}, end to end / this | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """The parts, and each party's figures."""
    for part in PARTS:
        found = [each.get(part) for each in report["parties"].values()]
        yield part, [f"{each['p50']:.1f} / {each['p99']:.1f}" if each else "" for each in found]
    if shares := report.get("named right"):
        yield "faces named right", [f"{shares[name]:.0%}" for name in report["parties"]]


if __name__ == "__main__":
    main()
