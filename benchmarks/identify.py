"""`faces.identify` end to end at a large gallery, and where its time goes, beside PaddleX on the same cuts.

    python -m benchmarks.identify [--size N] [--repeats N] [--no-paddlex] [--json]

PaddleX cannot load CenterFace, so its part has no detection: its face feature predictor and its FaissIndexer
(Flat) get the faces that we cut out, the same weights and the same gallery. Its figures are to be held
against our embedding and search, not against the whole.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from api_client import DETECT_FACES, EMBED_FACES, IDENTIFY_FACES, Client
from benchmarks.families import CORES, HOME, renamed
from benchmarks.paddlex_reference import interpreter
from index_store.database import Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from local.photographs import photographs
from local.stack import LocalStack
from workers.embedders import Embedder, files_digest
from workers.face_finding import FoundFace, cut_out
from workers.models.home import ModelHome
from workers.models.image_feature import ImageFeature

KEY: Final = "people"
MODEL: Final = "DlibFaceResNet"
THRESHOLD: Final = 0.914
Rows = NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identify", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000, help="vectors in the gallery")
    parser.add_argument("--repeats", type=int, default=20, help="times that each photograph is asked for")
    parser.add_argument("--long-side", type=int, default=640, help="pixels of the photographs")
    parser.add_argument("--no-paddlex", action="store_true", help="leave PaddleX out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paddlewheel-") as name:
        report = measure(Path(name), given)
    print(json.dumps(report, indent=2)) if given.json else show(report)


def measure(root: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Paddlewheel first, then PaddleX."""
    people = [each.person for each in photographs()]
    pictures = [shrunk(each.path, given.long_side) for each in photographs()]
    (root / "stack").mkdir()
    environment = {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_SEGMENT_URL": str(root / "segments"),
    }
    stack = LocalStack(
        root / "stack", services={"valkey", "postgres", "worker"}, environment=environment, ephemeral=True
    )
    report: dict[str, Any] = {"size": given.size, "load before": os.getloadavg()[0]}
    with stack, Client(stack.servers.broker_url) as client:
        found = [client.enqueue(EMBED_FACES, picture).result(60).faces[0] for picture in pictures]
        features = np.array([face.feature for face in found], dtype=np.float32)
        rows = crowd(features, given.size)
        labels = people + [f"stranger {number}" for number in range(len(people), given.size)]
        store = GalleryStore(Database(stack.servers.database_url), SegmentFolder(root / "segments"))
        store.build(KEY, GallerySpec(dimension=128, model_fingerprint=fingerprint()), rows, labels)
        store.compact(KEY)
        report["queue"] = ask(client, pictures, people, given.repeats)
        report["search alone"] = percentiles(
            timed(lambda row=row: store.search(KEY, row[np.newaxis], top_k=5, threshold=THRESHOLD))  # type: ignore[misc]
            for row in np.repeat(features, given.repeats, axis=0)
        )
    if not given.no_paddlex:
        cuts = [
            cut_out(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR), as_found(face), 150)  # type: ignore[arg-type]
            for picture, face in zip(pictures, found, strict=True)
        ]
        report["paddlex"] = paddlex(root, rows, labels, cuts, given.repeats)
    return report | {"load after": os.getloadavg()[0]}


def shrunk(path: Path, long_side: int) -> bytes:
    """A photograph as a JPEG of that long side."""
    image = np.asarray(cv2.imread(str(path)))
    scale = min(1.0, long_side / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def crowd(features: Rows, size: int) -> Rows:
    """The known faces, then strangers scattered about their mean as widely as they are themselves."""
    middle, spread = features.mean(axis=0), features.std(axis=0).mean()
    noise = np.random.default_rng(7).standard_normal((size - len(features), features.shape[1]))
    rows = np.concatenate([features, middle + spread * noise]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def fingerprint() -> str:
    """What the worker binds a gallery of aligned faces to."""
    directory = ModelHome(HOME).open(MODEL)
    embedder = Embedder(model=ImageFeature.open(directory), digest=files_digest(directory))
    return embedder.fingerprint("faces", "aligned")


def as_found(face: Any) -> FoundFace:
    """A face of an answer as the worker has it."""
    points = np.array(face.landmarks, dtype=np.float32)
    return FoundFace(box=face.bbox, score=face.score, landmarks=points)


def ask(client: Client, pictures: Sequence[bytes], people: Sequence[str], repeats: int) -> dict[str, Any]:
    """One picture at a time on an idle system; every face has to be told right."""
    refs = [client.put(picture) for picture in pictures]
    for ref in refs * 2:  # the first picture of a shape prepares the engine, the first search opens the files
        client.enqueue(IDENTIFY_FACES, ref, gallery=KEY).result(120)
    parts: dict[str, list[float]] = {
        name: [] for name in ("end to end", "queue", "detection", "embedding", "in the worker")
    }
    right = 0
    for _ in range(repeats):
        for ref, person in zip(refs, people, strict=True):
            parts["detection"].append(served(client.enqueue(DETECT_FACES, ref).result(60)).model_ms)
            began = time.perf_counter()
            result = client.enqueue(IDENTIFY_FACES, ref, gallery=KEY).result(60)
            parts["end to end"].append((time.perf_counter() - began) * 1000)
            parts["queue"].append(served(result).queue_ms or 0.0)
            parts["embedding"].append(served(result).model_ms)
            parts["in the worker"].append(served(result).total_ms)
            right += result.faces[0].label == person
    return {name: percentiles(times) for name, times in parts.items()} | {
        "right": right / (repeats * len(refs))
    }


def served(result: Any) -> Any:
    """How an answer came about; every worker of ours tells."""
    if result.served is None:
        raise RuntimeError("The worker did not say how it served the picture.")
    return result.served


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def percentiles(times: Any) -> dict[str, float]:
    """The median and the 99th percentile."""
    given = np.fromiter(times, dtype=np.float64)
    return {"p50": float(np.percentile(given, 50)), "p99": float(np.percentile(given, 99))}


def paddlex(
    root: Path, rows: Rows, labels: Sequence[str], cuts: Sequence[NDArray[np.uint8]], repeats: int
) -> dict[str, Any]:
    """`identify_paddlex.py` in PaddleX's environment."""
    np.save(root / "rows.npy", rows)
    paths = [root / f"cut-{number}.png" for number in range(len(cuts))]
    for path, cut in zip(paths, cuts, strict=True):
        cv2.imwrite(str(path), cut)
    job = {
        "model": str(renamed(HOME / MODEL, root / "model", "MobileFaceNet")),
        "name": "MobileFaceNet",
        "cuts": [str(path) for path in paths] * repeats,
        "labels": list(labels),
        "threshold": THRESHOLD,
    }
    (root / "job.json").write_text(json.dumps(job))
    environment = {
        **os.environ,
        "PADDLE_PDX_CPU_NUM_THREADS": str(CORES),
        "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
    }
    child = Path(__file__).with_name("identify_paddlex.py")
    done = subprocess.run(
        [str(interpreter()), "-P", str(child), str(root)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"PaddleX failed:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    people = [labels[number % len(cuts)] for number in range(len(told["best"]))]
    return {
        "embedding": percentiles(1000 * seconds for seconds in told["model"]),
        "search": percentiles(1000 * seconds for seconds in told["search"]),
        "right": float(np.mean([best == [name] for best, name in zip(told["best"], people, strict=True)])),
    }


def show(report: dict[str, Any]) -> None:
    """A table for people."""
    table = Table("milliseconds", "p50", "p99", title=f"faces.identify at {report['size']:,} vectors of 128")
    entries = {f"queue: {name}": each for name, each in report["queue"].items() if name != "right"}
    entries["search alone, in this process"] = report["search alone"]
    for name, each in report.get("paddlex", {}).items():
        if name != "right":
            entries[f"PaddleX: {name}"] = each
    for name, each in entries.items():
        table.add_row(name, f"{each['p50']:.1f}", f"{each['p99']:.1f}")
    console = Console(width=110)
    console.print(table)
    told = [f"{report['queue']['right']:.0%} of the faces told right"]
    if "paddlex" in report:
        told.append(f"{report['paddlex']['right']:.0%} by PaddleX, which had no face to find")
    console.print(
        f"{', '.join(told)}. Load average {report['load before']:.1f} before, "
        f"{report['load after']:.1f} after. "
        "PaddleX cannot load CenterFace: it gets our cuts, already decoded."
    )


if __name__ == "__main__":
    main()
