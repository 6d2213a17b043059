"""Pictures a second through the queue for each family, beside the bare engine loop and PaddleX's predict.

    python -m benchmarks.families [--pictures N] [--engine E] [--no-paddlex] [--json]

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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from api_client import CLASSIFY_IMAGE, DETECT_FACES, EMBED_FACES, EXTRACT_FEATURE, Client, ImageRef, TaskSpec
from benchmarks.paddlex_reference import Job, predict
from local.checkout import CHECKOUT
from local.photographs import photographs
from local.stack import LocalStack

HOME: Final = CHECKOUT / ".paddlewheel" / "models"
CORES: Final = os.cpu_count() or 1
PADDLEX_SIZES: Final = (1, 8)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is asked of the queue, and what does the same without it."""

    spec: TaskSpec[Any, Any]
    bare: str
    model: str
    side: int
    share: float = 1.0
    embedder: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    paddlex: str | None = None


FAMILIES: Final = {
    "face detection": Family(spec=DETECT_FACES, bare="detect", model="CenterFace", side=640, share=0.25),
    "face embedding, with detection": Family(
        spec=EMBED_FACES,
        bare="embed",
        model="CenterFace",
        side=640,
        share=0.25,
        embedder="DlibFaceResNet",
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
        side=400,
        paddlex="PP-ShiTuV2_rec",
    ),
    "classification": Family(
        spec=CLASSIFY_IMAGE, bare="classes", model="EfficientNet-Lite0", side=400, paddlex="PP-LCNet_x1_0"
    ),
}


def main() -> None:
    """Measure every family and print ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.add_argument("--pictures", type=int, default=240, help="of each family; faces get a quarter")
    parser.add_argument("--engine", default="auto", help="auto, paddle, openvino or onnxruntime")
    parser.add_argument("--passes", type=int, default=2, help="timed passes; the fastest is reported")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        folders = {}
        for each, family in FAMILIES.items():
            folders[each] = Path(name) / each.replace(" ", "-")
            draw(folders[each], max(4, int(given.pictures * family.share)), family.side)
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


def measure(folders: dict[str, Path], given: argparse.Namespace) -> dict[str, Any]:
    """Every part of every family; nothing runs beside another."""
    report: dict[str, Any] = {"load before": os.getloadavg()[0], "engine": given.engine}
    queue = through_the_queue(folders, given)
    paddlex = {} if given.no_paddlex else paddlex_speeds(folders)
    for name, family in FAMILIES.items():
        bare = bare_loop(folders[name], family, given.engine)
        entry = queue[name] | {"bare": bare, "queue / bare loop": queue[name]["speed"] / max(bare.values())}
        if name in paddlex:
            entry |= {"paddlex": paddlex[name]}
            entry["queue / PaddleX predict"] = queue[name]["speed"] / max(paddlex[name].values())
        report[name] = entry
    return report | {"load after": os.getloadavg()[0]}


def through_the_queue(folders: dict[str, Path], given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Pictures a second of each family, and what one picture costs beyond its model's time."""
    environment = {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_ENGINE": given.engine,
        "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "EfficientNet-Lite0_feature,DlibFaceResNet",
    }
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as root,
        LocalStack(
            Path(root), services={"valkey", "worker"}, environment=environment, ephemeral=True
        ) as stack,
        Client(stack.servers.broker_url) as client,
    ):
        return {name: queue_speed(client, FAMILIES[name], folders[name], given.passes) for name in folders}


def queue_speed(client: Client, family: Family, folder: Path, passes: int) -> dict[str, float]:
    """The fastest pass after one that warms up; then one picture at a time."""
    pictures = client.put_many([path.read_bytes() for path in sorted(folder.iterdir())])
    seconds, sizes = [], [0.0]
    for _ in range(passes + 1):
        began = time.perf_counter()
        pendings = client.enqueue_many(family.spec, pictures, **family.options)
        results = [each.result() for each in client.as_completed(pendings, timeout=300)]
        seconds.append(time.perf_counter() - began)
        sizes = [result.served.batch_size for result in results]
    overheads = sorted(overhead(client, family, ref) for ref in pictures)
    return {
        "speed": len(pictures) / min(seconds[1:]),
        "mean batch": statistics.mean(sizes),
        "overhead_p50_ms": statistics.median(overheads),
        "overhead_p99_ms": overheads[int(len(overheads) * 0.99)],
    }


def overhead(client: Client, family: Family, ref: ImageRef) -> float:
    """Milliseconds from enqueue to result beyond the model's own; for faces, beyond the embedder's."""
    began = time.perf_counter()
    served = client.enqueue(family.spec, ref, **family.options).result(60).served
    return (time.perf_counter() - began) * 1000 - float(served.model_ms)


def bare_loop(folder: Path, family: Family, engine: str) -> dict[str, float]:
    """`benchmarks.bare_family` with as many threads as a worker's model has."""
    command = [
        *(sys.executable, "-m", "benchmarks.bare_family", family.bare, str(folder), "--home", str(HOME)),
        *("--model", family.model, "--engine", engine, "--threads", str(CORES)),
        *(("--embedder", family.embedder) if family.embedder else ()),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    speeds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return speeds


def paddlex_speeds(folders: dict[str, Path]) -> dict[str, dict[int, float]]:
    """Pictures a second by batch size; PaddleX's files are decoded beforehand."""
    names = [name for name, family in FAMILIES.items() if family.paddlex]
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        jobs = [paddlex_job(Path(name), FAMILIES[each], sorted(folders[each].iterdir())) for each in names]
        outcomes = predict(*jobs)
    return {
        name: {size: len(job.images) / min(times) for size, times in outcome.seconds.items()}
        for name, job, outcome in zip(names, jobs, outcomes, strict=True)
    }


def paddlex_job(root: Path, family: Family, images: Sequence[Path]) -> Job:
    """The same weights under a name that PaddleX has a class for: it refuses any other."""
    name = str(family.paddlex)
    return Job(
        model=name,
        directory=renamed(HOME / family.model, root / family.model, name),
        images=images,
        batch_sizes=PADDLEX_SIZES,
        repeats=3,
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
    console = Console(width=120)
    table = Table(
        "pictures/s", "queue", "batch", "bare", "PaddleX", "/ bare", "/ PaddleX", "p50 / p99 beyond"
    )
    for name in FAMILIES:
        entry = report[name]
        paddlex = entry.get("paddlex")
        table.add_row(
            name,
            f"{entry['speed']:.1f}",
            f"{entry['mean batch']:.1f}",
            f"{max(entry['bare'].values()):.1f}",
            f"{max(paddlex.values()):.1f}" if paddlex else "-",
            f"{entry['queue / bare loop']:.2f}",
            f"{entry['queue / PaddleX predict']:.2f}" if paddlex else "-",
            f"{entry['overhead_p50_ms']:.0f} / {entry['overhead_p99_ms']:.0f} ms",
        )
    console.print(table)
    console.print(
        f"Load average {report['load before']:.1f} before, {report['load after']:.1f} after. "
        "PaddleX has no class for CenterFace. It runs its own default engine, Paddle, on pictures that are "
        "decoded already. Beyond: one picture at a time, less the model's time; with detection, less the "
        "embedder's alone."
    )


if __name__ == "__main__":
    main()
