"""Embedders, classifiers and detectors beside PaddleX 3.7.2, on small networks with every kind of config.

    python -m benchmarks.picture_parity

writes what PaddleX answers to tests/data/paddlex_answers.json: the integration tests hold our answers against
it without PaddleX. `python -m benchmarks.parity` compares, here and in text.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.paddlex_reference import MODELS, Job, predict
from local.checkout import CHECKOUT
from tests.sample_pictures import sample_pictures
from tests.tiny_networks import CONFIGS, make_networks
from workers.models.engines.session import SessionOptions
from workers.models.families.image_classification import Classification, ImageClassification
from workers.models.families.image_feature import ImageFeature
from workers.models.families.network import Network
from workers.models.families.object_detection import DetectedObject, ObjectDetection
from workers.models.file_names import CONFIG
from workers.models.home.directory import ModelDirectory
from workers.models.home.packages import install

Pixels = NDArray[np.uint8]
Answer = dict[str, Any]

RECORDED: Final = CHECKOUT / "tests" / "data" / "paddlex_answers.json"
FLIPPED: Final = "face_feature, flipped"
CASES: Final = (*CONFIGS, FLIPPED)
"""Networks whose answers are recorded: those of tests.tiny_networks, and one of them with `flip`."""

DEFAULTS: Final[Mapping[str, str]] = {
    "EfficientNet-Lite0": "PP-LCNet_x1_0",
    "EfficientNet-Lite0_feature": "PP-ShiTuV2_rec",
    "DlibFaceResNet": "MobileFaceNet",
}
"""Default models, each with a name that PaddleX knows: it loads no other. CenterFace is no model of its."""

TOLERANCE: Final = 2e-5
"""Of an embedding's numbers and of scores, which PaddleX rounds to 1e-5; of a corner, in pixels, a hundred
times as much."""
CORNER_SCALE: Final = 1e-2


@dataclass(frozen=True, kw_only=True)
class PictureParity:
    """Pictures compared, how many answers are equal in every digit, the largest difference.

    The difference is infinite when classes, labels or the number of boxes differ; a corner counts in
    hundreds of pixels.
    """

    case: str
    family: str
    pictures: int
    equal: int
    largest_difference: float

    @property
    def holds(self) -> bool:
        """Whether the promise does."""
        return self.largest_difference <= TOLERANCE


def compare_pictures(pictures: Mapping[str, Pixels], options: SessionOptions) -> list[PictureParity]:
    """The same pictures through our networks and through PaddleX's."""
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        # OpenVINO reads no inference.json.
        make_networks(Path(folder, "networks"), old=options.engine == "openvino")
        install(tuple(DEFAULTS), MODELS)
        for name, known in DEFAULTS.items():
            _copy_as(known, MODELS / name, Path(folder, "networks", name))
        cases = (*CASES, *DEFAULTS)
        theirs = paddlex_answers(cases, Path(folder), pictures)
        return [_compare(case, Path(folder, "networks"), pictures, theirs[case], options) for case in cases]


def paddlex_answers(
    cases: Sequence[str], folder: Path, pictures: Mapping[str, Pixels]
) -> dict[str, list[Answer]]:
    """What PaddleX answers, case by case; the networks are in `networks` of the folder."""
    paths = [folder / f"{number:05d}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures.values(), strict=True):
        cv2.imwrite(str(path), picture)
    jobs = [
        Job(
            model=ModelDirectory.open(folder / "networks" / _network(case)).name,
            directory=folder / "networks" / _network(case),
            images=paths,
            options={"flip": True} if case == FLIPPED else {},
        )
        for case in cases
    ]
    return {case: each.answers for case, each in zip(cases, predict(*jobs), strict=True)}


def our_answers(
    case: str, networks: Path, pictures: Sequence[Pixels], options: SessionOptions
) -> Iterator[Answer]:
    """What we answer, in PaddleX's form: from the directory to the result, one picture at a time."""
    directory = ModelDirectory.open(networks / _network(case))
    network = Network(directory, options)
    model = open_model(directory, flip=case == FLIPPED)
    for picture in pictures:
        inputs = (tensor[np.newaxis] for tensor in model.preprocess(picture))
        outputs = tuple(output[0] for output in network.forward(*inputs))
        yield answer(model, outputs, picture)


def open_model(
    directory: ModelDirectory, *, flip: bool = False
) -> ImageFeature | ImageClassification | ObjectDetection:
    """The family's half that needs no network."""
    match directory.family:
        case "image_feature":
            return ImageFeature.open(directory, flip=flip)
        case "image_classification":
            return ImageClassification.open(directory)
        case "object_detection":
            return ObjectDetection.open(directory)
    raise ValueError(directory.family)


def answer(
    model: ImageFeature | ImageClassification | ObjectDetection,
    outputs: tuple[NDArray[Any], ...],
    picture: Pixels,
) -> Answer:
    """One item's outputs to PaddleX's form of its result."""
    if isinstance(model, ObjectDetection):
        height, width = picture.shape[:2]
        return {"boxes": [_box(found) for found in model.postprocess(outputs, width, height)]}
    if isinstance(model, ImageClassification):
        return _classes(model.postprocess(outputs))
    return {"feature": model.postprocess(outputs).tolist()}


def difference(ours: Answer, theirs: Answer) -> float:
    """The largest one of two answers' numbers; infinite when what they name differs."""
    (names, numbers), (their_names, their_numbers) = _flat(ours), _flat(theirs)
    if names != their_names or len(numbers) != len(their_numbers):
        return math.inf
    return max((abs(one - other) for one, other in zip(numbers, their_numbers, strict=True)), default=0.0)


def _compare(
    case: str,
    networks: Path,
    pictures: Mapping[str, Pixels],
    theirs: Sequence[Answer],
    options: SessionOptions,
) -> PictureParity:
    ours = our_answers(case, networks, list(pictures.values()), options)
    differences = [difference(one, other) for one, other in zip(ours, theirs, strict=True)]
    return PictureParity(
        case=case,
        family=ModelDirectory.open(networks / _network(case)).family,
        pictures=len(pictures),
        equal=differences.count(0.0),
        largest_difference=max(differences),
    )


def _copy_as(name: str, source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    config = yaml.safe_load((source / CONFIG).read_text(encoding="utf-8"))
    config["Global"]["model_name"] = name
    (target / CONFIG).write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")


def _network(case: str) -> str:
    return case.partition(",")[0]


def _classes(found: Classification) -> Answer:
    return {
        "class_ids": list(found.class_ids),
        "label_names": list(found.label_names),
        "scores": list(found.scores),
    }


def _box(found: DetectedObject) -> dict[str, Any]:
    return {
        "cls_id": found.class_id,
        "label": found.label,
        "score": found.score,
        "coordinate": list(found.box),
    }


def _flat(given: Answer) -> tuple[list[Any], list[float]]:
    """What an answer names, and its numbers."""
    if "feature" in given:
        return [], given["feature"]
    if "boxes" in given:
        boxes = given["boxes"]
        names = [(box["cls_id"], box["label"]) for box in boxes]
        corners = [CORNER_SCALE * number for box in boxes for number in box["coordinate"]]
        return names, [*(box["score"] for box in boxes), *corners]
    return [given["class_ids"], given["label_names"]], given["scores"]


def main() -> None:
    """Record PaddleX's answers, a picture a line."""
    pictures = sample_pictures()
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        make_networks(Path(folder, "networks"))
        answers = paddlex_answers(CASES, Path(folder), pictures)
    lines = [
        json.dumps({"case": case, "picture": picture, **_rounded(given)}, ensure_ascii=False)
        for case, each in answers.items()
        for picture, given in zip(pictures, each, strict=True)
    ]
    RECORDED.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Nine digits tell a float32 from every other."""
    match value:
        case float():
            return float(f"{value:.9g}")
        case list():
            return [_rounded(each) for each in value]
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
    return value


if __name__ == "__main__":
    main()
