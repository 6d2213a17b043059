"""What the benchmarks of naming faces share: photographs, a gallery of strangers, one set of models.

Both sides find faces with `benchmarks.face_boxes`, cut them out by their boxes, and embed them with
DlibFaceResNet; both galleries have the same rows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks import face_boxes
from benchmarks.families import HOME, renamed
from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from local.photographs import photographs
from local.stack import LocalStack
from paddlewheel import EMBED_FACES, Client
from paddlewheel.contracts.faces import IdentifiedFaces
from workers.models.families.image_feature import ImageFeature
from workers.models.home.home import ModelHome
from workers.services.embedders import Embedder, files_digest
from workers.services.face_finding import Way

KEY: Final = "people"
EMBEDDER: Final = "DlibFaceResNet"
EMBEDDER_OF_PADDLEX: Final = "MobileFaceNet"
"""The name by which PaddleX loads it."""
LANDMARKS: Final = "CenterFace"
THRESHOLD: Final = 0.914
TOP_K: Final = 5
Rows = NDArray[np.float32]
Face = dict[str, Any]
"""In the form in which the sides are compared: bbox, score, and the labels and scores of its matches."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A photograph of one person, as a JPEG."""

    jpeg: bytes
    person: str


@dataclass(frozen=True, kw_only=True)
class KnownFaces:
    """The rows of a gallery [N, 128] with their labels; the first are those of the photographs."""

    rows: Rows
    labels: Sequence[str]


def pictures(long_side: int) -> list[Picture]:
    """Every photograph, of that many pixels."""
    return [Picture(jpeg=shrunk(each.path, long_side), person=each.person) for each in photographs()]


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


def worker_environment(root: Path, detector: Path, engine: str) -> dict[str, str]:
    """A worker that finds faces by PaddleX's detector, or by landmarks where that is asked for."""
    return {
        **os.environ,
        "PADDLEWHEEL_MODEL_HOME": str(HOME),
        "PADDLEWHEEL_MODEL_DIRECTORIES": f"{face_boxes.NAME}={detector}",
        "PADDLEWHEEL_FACE_DETECTION_MODELS": f"{face_boxes.NAME},{LANDMARKS}",
        "PADDLEWHEEL_ENGINE": engine,
        "PADDLEWHEEL_LOG_LEVEL": "WARNING",
        "PADDLEWHEEL_SEGMENT_URL": str(root / "segments"),
    }


def galleries(stack: LocalStack, root: Path) -> GalleryStore:
    """The galleries of the stack's workers."""
    return GalleryStore(Database(stack.servers.database_url), SegmentFolder(root / "segments"))


def fill(
    stack: LocalStack,
    root: Path,
    known: Sequence[Picture],
    size: int,
    *,
    way: Way = "cropped",
    key: str = KEY,
) -> KnownFaces:
    """A sealed gallery of the photographs' faces, as the stack's worker sees them, and of strangers."""
    detector = LANDMARKS if way == "aligned" else face_boxes.NAME
    with Client(stack.servers.broker_url) as client:
        found = [
            client.enqueue(EMBED_FACES, each.jpeg, detection_model=detector).result(60).faces
            for each in known
        ]
    rows = crowd(np.array([faces[0].feature for faces in found], dtype=np.float32), size)
    labels = [each.person for each in known] + [f"stranger {n}" for n in range(len(known), size)]
    store = galleries(stack, root)
    spec = GallerySpec(dimension=rows.shape[1], model_fingerprint=fingerprint(way))
    store.build(key, spec, rows, labels)
    store.compact(key)
    return KnownFaces(rows=rows, labels=labels)


def fingerprint(way: Way) -> str:
    """What the worker binds a gallery of faces to."""
    directory = ModelHome(HOME).open(EMBEDDER)
    embedder = Embedder(model=ImageFeature.open(directory), digest=files_digest(directory))
    return embedder.fingerprint("faces", way)


def write_for_paddlex(folder: Path, detector: Path, faces: KnownFaces) -> None:
    """What `paddlex_faces.py` reads: the rows and their labels, and the configuration of the pipeline."""
    folder.mkdir()
    np.save(folder / "rows.npy", faces.rows)
    (folder / "labels.txt").write_text("\n".join(faces.labels), encoding="utf-8")
    embedder = renamed(HOME / EMBEDDER, folder / EMBEDDER_OF_PADDLEX, EMBEDDER_OF_PADDLEX)
    pipeline: dict[str, Any] = {
        "pipeline_name": "face_recognition",
        "index": str(folder / "gallery"),
        "det_threshold": face_boxes.THRESHOLD,
        "rec_threshold": THRESHOLD,
        "rec_topk": TOP_K,
        "SubModules": {
            "Detection": _module("face_detection", face_boxes.NAME, detector),
            "Recognition": _module("face_feature", EMBEDDER_OF_PADDLEX, embedder),
        },
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")


def _module(kind: str, name: str, directory: Path) -> dict[str, Any]:
    return {"module_name": kind, "model_name": name, "model_dir": str(directory), "batch_size": 1}


def to_faces(result: IdentifiedFaces) -> list[Face]:
    """Convert an answer's faces for comparison."""
    return [
        {
            "bbox": list(face.bbox),
            "score": face.score,
            "labels": [match.label for match in face.rec_results],
            "scores": [match.score for match in face.rec_results],
        }
        for face in result.faces
    ]


def same_faces(
    ours: Sequence[Face],
    theirs: Sequence[Face],
    *,
    names: tuple[str, str] = ("Paddlewheel", "PaddleX"),
    pixels: float = 0.5,
    named: bool = True,
) -> dict[str, float]:
    """The largest differences of corners, of the detector's scores, of the best matches' scores.

    Raises RuntimeError when the faces are not the same, or where `named` their best labels.
    """
    worst = {"corner": 0.0, "score": 0.0, "match": 0.0}
    if len(ours) != len(theirs):
        raise RuntimeError(f"{names[0]} finds {len(ours)} faces, {names[1]} {len(theirs)}.")
    for one, other in zip(sorted(ours, key=_place), sorted(theirs, key=_place), strict=True):
        corner = float(np.abs(np.subtract(one["bbox"], other["bbox"])).max())
        if corner > pixels or (named and one["labels"][:1] != other["labels"][:1]):
            raise RuntimeError(f"{names[0]} finds {one}, {names[1]} {other}.")
        found = {"corner": corner, "score": abs(one["score"] - other["score"])}
        if named and one["scores"]:
            found["match"] = abs(one["scores"][0] - other["scores"][0])
        worst = {name: max(value, found.get(name, 0.0)) for name, value in worst.items()}
    return worst


def _place(face: Face) -> list[float]:
    corners: list[float] = face["bbox"]
    return corners
