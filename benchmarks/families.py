"""Pictures a second through the queue for each family, beside the bare engine loop and PaddleX's predict.

    python -m benchmarks.families [--only FAMILY] [--seconds S] [--engine E] [--no-paddlex] [--json]

The queue is measured in a flow of bulk tasks that never runs dry, in turn with a bare loop of the same engine
on the same cores. PaddleX gets the same JPEG files, and, as another figure, the decoded pixels.

Text lines have `benchmarks.throughput`. PaddleX has no class for CenterFace, so finding faces is compared
with the bare loop alone. Its face features are compared on ready cuts, which the queue embeds by
`features.extract` with the same weights: `faces.embed` finds and aligns faces too, and is compared with a
bare loop that does so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.paddlex_reference import Job, predict
from benchmarks.picture_flow import Flow, flow
from local.checkout import CHECKOUT
from local.photographs import photographs
from local.stack import LocalStack
from paddlewheel import (
    CLASSIFY_IMAGE,
    DETECT_FACES,
    EMBED_FACES,
    EXTRACT_FEATURE,
    Client,
    ImageRef,
    TaskSpec,
)

HOME: Final = CHECKOUT / ".paddlewheel" / "models"
CORES: Final = os.cpu_count() or 1
PICTURES: Final = 64
BATCH_SIZES: Final = (1, 8)
"""What the bare loop and PaddleX are tried with; the faster counts."""
ALONE: Final = 40
"""Pictures that are sent one at a time."""
WARM_UP: Final = 1.0
"""Seconds of each before anything is timed."""
PADDLEX_SECONDS: Final = 2.5
"""Of each of its runs."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A task family's requests to the queue, and the same work without it."""

    spec: TaskSpec[Any, Any]
    bare: str
    model: str
    side: int
    embedder: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    paddlex: str | None = None


FAMILIES: Final = {
    "face detection": Family(spec=DETECT_FACES, bare="faces", model="CenterFace", side=640),
    "face embedding, with detection": Family(
        spec=EMBED_FACES, bare="faces", model="CenterFace", side=640, embedder="DlibFaceResNet"
    ),
    "face embedding, ready cuts": Family(
        spec=EXTRACT_FEATURE,
        bare="feature",
        model="DlibFaceResNet",
        side=150,
        options={"model": "DlibFaceResNet"},
        paddlex="MobileFaceNet",
    ),
    "image features": Family(
        spec=EXTRACT_FEATURE,
        bare="feature",
        model="EfficientNet-Lite0_feature",
        side=640,
        paddlex="PP-ShiTuV2_rec",
    ),
    "classification": Family(
        spec=CLASSIFY_IMAGE, bare="classes", model="EfficientNet-Lite0", side=640, paddlex="PP-LCNet_x1_0"
    ),
}


def main() -> None:
    """Measure every family and print ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.add_argument("--only", choices=list(FAMILIES), action="append", help="this family; repeatable")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each timed pass")
    parser.add_argument("--passes", type=int, default=2, help="of the queue and of the bare loop, in turn")
    parser.add_argument("--engine", default="auto", help="auto, paddle, openvino or onnxruntime")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        folders = {}
        for each in given.only or FAMILIES:
            folders[each] = Path(name) / each.replace(" ", "-")
            draw(folders[each], PICTURES, FAMILIES[each].side)
        report = measure(folders, given)
    print(json.dumps(report, indent=2)) if given.json else show(report)


def draw(folder: Path, count: int, side: int) -> None:
    """Different pictures of the photographs, about `side` pixels wide and high, a little brighter each."""
    folder.mkdir()
    originals = [np.asarray(cv2.imread(str(each.path))) for each in photographs()]
    for number in range(count):
        original = originals[number % len(originals)]
        rows, columns = original.shape[:2]
        middle = original[: min(rows, columns), : min(rows, columns)]
        scaled = cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA)
        brighter = np.minimum(scaled.astype(np.int16) + number // len(originals), 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), brighter, (cv2.IMWRITE_JPEG_QUALITY, 92))


def measure(folders: Mapping[str, Path], given: argparse.Namespace) -> dict[str, Any]:
    """Every part of every family; nothing runs beside another."""
    began, load = time.perf_counter(), os.getloadavg()[0]
    families = ours(folders, given)
    for entry in families.values():
        for part in ("queue", "bare"):
            entry[f"{part} speed"] = max(run["speed"] for run in entry[part])
        entry["queue / bare loop"] = entry["queue speed"] / entry["bare speed"]
    for name, speeds in ({} if given.no_paddlex else paddlex_speeds(folders, families)).items():
        families[name]["paddlex"] = speeds
        families[name]["queue / PaddleX predict"] = families[name]["queue speed"] / speeds["files"]
    return {
        "load": [load, os.getloadavg()[0]],
        "engine": given.engine,
        "seconds": time.perf_counter() - began,
        "families": families,
    }


def ours(folders: Mapping[str, Path], given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The queue's and the bare loop's passes of each family, and what one picture alone costs."""
    with running(given.engine) as client:
        stored = {
            name: client.put_many([path.read_bytes() for path in sorted(folder.iterdir())])
            for name, folder in folders.items()
        }
        engines = {}
        for name, family in FAMILIES.items():
            # Whatever is measured: a bare loop needs to know what the worker chose for each model.
            some = stored.get(name) or next(iter(stored.values()))
            warm = flow(client, family.spec, some, WARM_UP, **family.options)
            engines[warm.model] = warm.engine
        return {
            name: in_turn(client, FAMILIES[name], folders[name], stored[name], engines, given)
            for name in folders
        }


def in_turn(
    client: Client,
    family: Family,
    folder: Path,
    pictures: Sequence[ImageRef],
    engines: Mapping[str, str],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Passes of both, one after the other; then one picture at a time."""
    queue: list[Flow] = []
    bare: list[dict[str, float]] = []
    with BareLoop(folder, family, engines) as loop:
        for _ in range(given.passes):
            queue.append(flow(client, family.spec, pictures, given.seconds, **family.options))
            bare.append(loop.run(given.seconds))
    overheads = sorted(overhead(client, family, ref) for ref in pictures[:ALONE])
    return {
        "queue": [vars(each) for each in queue],
        "bare": bare,
        "bare batch size": loop.size,
        "overhead_p50_ms": statistics.median(overheads),
        "overhead_p99_ms": overheads[int(len(overheads) * 0.99)],
    }


@contextmanager
def running(engine: str) -> Iterator[Client]:
    """A client of one worker that serves pictures alone."""
    environment = {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_ENGINE": engine,
        "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "EfficientNet-Lite0_feature,DlibFaceResNet",
    }
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paddlewheel-")))
        services = LocalStack(root, services={"valkey", "worker"}, environment=environment, ephemeral=True)
        stack.enter_context(services)
        yield stack.enter_context(Client(services.servers.broker_url))


def overhead(client: Client, family: Family, ref: ImageRef) -> float:
    """Milliseconds from enqueue to result beyond the model's own; for faces, beyond the embedder's."""
    began = time.perf_counter()
    served = client.enqueue(family.spec, ref, **family.options).result(60).served
    return (time.perf_counter() - began) * 1000 - float(served.model_ms)


class BareLoop:
    """`benchmarks.bare_family` on the worker's engines, with as many threads as a worker's model has."""

    def __init__(self, folder: Path, family: Family, engines: Mapping[str, str]) -> None:
        embedder = family.embedder
        command = [
            *(sys.executable, "-m", "benchmarks.bare_family", family.bare, str(folder), "--home", str(HOME)),
            *("--model", family.model, engines[family.model], "--threads", str(CORES)),
            *(("--embedder", embedder, engines[embedder]) if embedder else ()),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "OMP_WAIT_POLICY": "passive"}
        self._child = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.size = BATCH_SIZES[0]

    def __enter__(self) -> "BareLoop":
        """Warm up, twice: the first run of a size prepares its kernels. Take the faster size."""
        speeds = {}
        for _ in range(2):
            speeds = {size: self._ask(size, WARM_UP)["speed"] for size in BATCH_SIZES}
        self.size = max(speeds, key=speeds.__getitem__)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()

    def run(self, seconds: float) -> dict[str, float]:
        """Pictures a second, and the CPU milliseconds of one."""
        return self._ask(self.size, seconds)

    def _ask(self, size: int, seconds: float) -> dict[str, float]:
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("The bare loop was started without pipes.")
        print(size, seconds, file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"The bare loop ended with {self._child.wait()}.")
        found: dict[str, float] = json.loads(answer)
        return found


def paddlex_speeds(
    folders: Mapping[str, Path], families: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """Pictures a second of the faster batch size, from files and from decoded pixels."""
    names = [name for name in folders if FAMILIES[name].paddlex]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder:
        for name in names:
            family = FAMILIES[name]
            rounds = max(1, round(families[name]["bare speed"] * PADDLEX_SECONDS / PICTURES))
            pictures = sorted(folders[name].iterdir()) * rounds
            model = renamed(HOME / family.model, Path(folder) / name, str(family.paddlex))
            jobs = [paddlex_job(family, model, pictures, decoded=each) for each in (False, True)]
            speeds = [
                max(len(pictures) / min(seconds) for seconds in outcome.seconds.values())
                for outcome in predict(*jobs)
            ]
            found[name] = dict(zip(("files", "decoded"), speeds, strict=True))
    return found


def paddlex_job(family: Family, model: Path, images: Sequence[Path], *, decoded: bool) -> Job:
    """The same weights under a name that PaddleX has a class for: it refuses any other."""
    return Job(
        model=str(family.paddlex),
        directory=model,
        images=images,
        batch_sizes=BATCH_SIZES,
        repeats=2,
        decoded=decoded,
    )


def renamed(model: Path, copy: Path, name: str) -> Path:
    """A model directory whose config has another name."""
    copy.mkdir()
    for path in model.iterdir():
        if path.name == "inference.yml":
            text = path.read_text(encoding="utf-8").replace(
                f"model_name: {model.name}", f"model_name: {name}"
            )
            (copy / path.name).write_text(text, encoding="utf-8")
        else:
            (copy / path.name).symlink_to(path.absolute())
    return copy


def show(report: dict[str, Any]) -> None:
    """A table for people."""
    console = Console(width=140)
    table = Table(
        *("pictures/s", "engine", "queue", "batch", "bare", "PaddleX: files", "decoded"),
        *("/ bare", "/ PaddleX", "CPU ms: queue", "bare", "p50 / p99 beyond"),
    )
    for name, entry in report["families"].items():
        best = max(entry["queue"], key=lambda run: run["speed"])
        paddlex = entry.get("paddlex")
        table.add_row(
            name,
            best["engine"],
            f"{entry['queue speed']:.1f}",
            f"{best['mean_batch']:.1f}",
            f"{entry['bare speed']:.1f}",
            *([f"{paddlex[how]:.1f}" for how in ("files", "decoded")] if paddlex else "--"),
            f"{entry['queue / bare loop']:.2f}",
            f"{entry['queue / PaddleX predict']:.2f}" if paddlex else "-",
            ", ".join(f"{kind} {taken:.1f}" for kind, taken in best["cpu_ms"].items() if taken >= 0.05),
            f"{min(run['cpu_ms'] for run in entry['bare']):.1f}",
            f"{entry['overhead_p50_ms']:.0f} / {entry['overhead_p99_ms']:.0f} ms",
        )
    console.print(table)
    console.print(
        f"Load average {report['load'][0]:.1f} before, {report['load'][1]:.1f} after; "
        f"{report['seconds']:.0f} s. PaddleX has no class for CenterFace, and runs its own default engine, "
        "Paddle. Beyond: one picture at a time, less the model's time; with detection, less the embedder's "
        "alone."
    )


if __name__ == "__main__":
    main()
