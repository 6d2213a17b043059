"""Measures how well faces of one person are distinguished from others, aligned by landmarks or cropped.

    python -m benchmarks.faces --photographs FOLDER

FOLDER has a folder for each person with their photographs; the demo's photographs are added to them, and a
photograph counts once. Of each the largest face is taken. Writes faces.json and, where matplotlib is
installed, a plot of the scores of all pairs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from local.checkout import CHECKOUT
from local.photographs import photographs
from workers.models.engines.session import SessionOptions
from workers.models.families.face_alignment import crop_box
from workers.models.families.image_feature import ImageFeature
from workers.models.families.network import Network
from workers.models.home.home import ModelHome
from workers.services.face_finding import FaceDetector, FoundFace, cut_out, open_detector
from workers.services.thresholds import default_thresholds

SHARED: Final = CHECKOUT.parent / "shared" / "data" / "faces" / "train"
WAYS: Final = ("aligned", "cropped")
_SUFFIXES: Final = {".jpg", ".jpeg", ".png"}
_NAMES: Final = {"obama": "Barack Obama", "biden": "Joe Biden"}


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Statistics over the scores of all pairs; scores are cosines, `accuracy` is at `best_threshold`."""

    way: str
    faces: int
    people: int
    same: int
    different: int
    lowest_same: float
    median_same: float
    highest_different: float
    median_different: float
    nearest_right: float
    best_threshold: float
    accuracy: float
    threshold: float
    false_accepts: int
    false_rejects: int


class Embeddings:
    """A detector and an embedder, run without the queue."""

    def __init__(self, home: ModelHome, detector: str, embedder: str, engine: str) -> None:
        options = SessionOptions(engine=engine, threads=2)  # type: ignore[arg-type]
        self._detector: FaceDetector = open_detector(home.open(detector))
        self._finds = Network(home.open(detector), options)
        self._embedder = ImageFeature.open(home.open(embedder))
        self._embeds = Network(home.open(embedder), options)
        self._side = self._embedder.warmup_shapes[0][0][-1]

    def of(self, image: NDArray[np.uint8], way: str) -> NDArray[np.float32] | None:
        """The embedding of the largest face, of length 1; None without a face."""
        tensors = self._detector.preprocess(image)
        faces = self._detector.faces(_first(self._finds, tensors), image, None)
        if not faces:
            return None
        chip = self._cut(image, faces[0], way)
        return self._embedder.postprocess(_first(self._embeds, self._embedder.preprocess(chip)))

    def _cut(self, image: NDArray[np.uint8], face: FoundFace, way: str) -> NDArray[np.uint8]:
        return cut_out(image, face, self._side) if way == "aligned" else crop_box(image, face.box)


def _first(network: Network, tensors: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(output[0] for output in network.forward(*(each[np.newaxis] for each in tensors)))


def pictures(folder: Path | None) -> list[tuple[str, Path]]:
    """Each person's name with a photograph, the demo's first; equal files count once."""
    found = [(each.person, each.path) for each in photographs() if each.whole]
    given = sorted(folder.rglob("*")) if folder else []
    found += [
        (_NAMES.get(path.parent.name, path.parent.name), path)
        for path in given
        if path.suffix.lower() in _SUFFIXES
    ]
    once = {sha256(path.read_bytes()).digest(): (person, path) for person, path in reversed(found)}
    return list(reversed(once.values()))


def scores(people: Sequence[str], embeddings: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """The cosines of all pairs of faces of the same person, and of different people."""
    cosines = embeddings @ embeddings.T
    pairs = [(people[i] == people[j], float(cosines[i, j])) for i, j in combinations(range(len(people)), 2)]
    return [score for same, score in pairs if same], [score for same, score in pairs if not same]


def accuracy(way: str, people: Sequence[str], embeddings: NDArray[np.float32], threshold: float) -> Accuracy:
    """The figures of one way of cutting faces out."""
    same, different = scores(people, embeddings)
    best = max((*same, *different), key=lambda limit: _right(same, different, limit))
    return Accuracy(
        way=way,
        faces=len(people),
        people=len(set(people)),
        same=len(same),
        different=len(different),
        lowest_same=min(same),
        median_same=float(np.median(same)),
        highest_different=max(different),
        median_different=float(np.median(different)),
        nearest_right=_nearest_right(people, embeddings),
        best_threshold=best,
        accuracy=_right(same, different, best),
        threshold=threshold,
        false_accepts=sum(score >= threshold for score in different),
        false_rejects=sum(score < threshold for score in same),
    )


def _right(same: Sequence[float], different: Sequence[float], limit: float) -> float:
    right = sum(score >= limit for score in same) + sum(score < limit for score in different)
    return right / (len(same) + len(different))


def _nearest_right(people: Sequence[str], embeddings: NDArray[np.float32]) -> float:
    """The share of faces whose nearest other face is of the same person, among those who have another."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    right = [
        people[int(row.argmax())] == person
        for person, row in zip(people, cosines, strict=True)
        if people.count(person) > 1
    ]
    return sum(right) / len(right)


def as_table(results: Sequence[Accuracy]) -> str:
    """The figures as Markdown, a column for each way."""
    rows = [{key: value for key, value in asdict(result).items() if key != "way"} for result in results]
    lines = ["| | " + " | ".join(result.way for result in results) + " |", "|---" * (len(rows) + 1) + "|"]
    for key in rows[0]:
        cells = (f"{row[key]:.3f}" if isinstance(row[key], float) else str(row[key]) for row in rows)
        lines.append(f"| {key.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(pairs: dict[str, tuple[list[float], list[float]]], threshold: float, path: Path) -> None:
    """Every pair's score as a tick, a row for each way and kind of pair."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "paddlewheel", "font.family": "sans-serif"}
    figure, axes = pyplot.subplots(figsize=(7.6, 2.8))
    rows = [
        (f"{way}, {kind}", colour, values)
        for way, (same, different) in pairs.items()
        for kind, colour, values in (("same person", "#1a7f37", same), ("different", "#b42318", different))
    ]
    for row, (_, colour, values) in enumerate(rows):
        axes.plot(values, [-row] * len(values), "|", color=colour, markersize=16, alpha=0.6)
    axes.axvline(threshold, color="#444444", linewidth=1)
    axes.set_yticks([-row for row in range(len(rows))], [label for label, _, _ in rows])
    axes.set_xlabel("cosine of the two embeddings; the line is the default threshold")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


@click.command()
@click.option(
    "--photographs", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None
)
@click.option("--detector", default="CenterFace", show_default=True)
@click.option("--embedder", default="DlibFaceResNet", show_default=True)
@click.option("--engine", default="auto", show_default=True)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=CHECKOUT / ".paddlewheel" / "models",
    help="The model home.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("output"))
def main(folder: Path | None, detector: str, embedder: str, engine: str, home: Path, out: Path) -> None:
    """Compare all pairs of faces; fails if aligned faces are distinguished worse than cropped ones."""
    taken = pictures(folder or (SHARED if SHARED.is_dir() else None))
    models = Embeddings(ModelHome(home), detector, embedder, engine)
    threshold = default_thresholds([embedder]).get(embedder, 0.5)
    results, pairs = [], {}
    for way in WAYS:
        made = [(person, models.of(_read(path), way)) for person, path in taken]
        found = [(person, embedding) for person, embedding in made if embedding is not None]
        people, embeddings = [person for person, _ in found], np.stack([each for _, each in found])
        results.append(accuracy(way, people, embeddings, threshold))
        pairs[way] = scores(people, embeddings)
    out.mkdir(parents=True, exist_ok=True)
    print(f"{len(taken)} photographs, {detector}, {embedder}\n\n{as_table(results)}")
    (out / "faces.json").write_text(json.dumps([asdict(result) for result in results], indent=2))
    if find_spec("matplotlib"):
        plot(pairs, threshold, out / "faces.svg")
    aligned, cropped = results
    if aligned.faces < len(taken) or aligned.accuracy < cropped.accuracy:
        raise SystemExit(1)


def _read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), dtype=np.uint8)


if __name__ == "__main__":
    main()
