"""Detectors of faces, of whatever kind, and how a face is cut out for its embedding."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError
from workers.images.loading import Image
from workers.models.engines.session import ItemShapes
from workers.models.families.face_alignment import align, crop_box, template_of
from workers.models.families.face_detection import CenterFace
from workers.models.families.object_detection import ObjectDetection
from workers.models.home.directory import ModelDirectory

Way = Literal["aligned", "cropped"]
"""How a face is cut out: upright by its five points, or by its box."""

MIN_SIDE = 2
"""Pixels: a smaller box holds no face."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundFace:
    """A face: its box (x1, y1, x2, y2) in pixels within the picture, and its landmarks (5, 2), if any."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] | None = None

    @property
    def area(self) -> float:
        """Square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class FaceDetector(Protocol):
    """Finds faces in one picture."""

    @property
    def name(self) -> str:
        """What it is served as."""

    @property
    def way(self) -> Way:
        """How its faces are cut out."""

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """Items that it is warmed up with."""

    def preprocess(self, image: Image, /) -> tuple[NDArray[Any], ...]:
        """A picture to the network's inputs."""

    def faces(
        self, outputs: tuple[NDArray[Any], ...], image: Image, min_score: float | None
    ) -> list[FoundFace]:
        """One item's outputs to the faces, the largest first."""


class BoxDetector:
    """A detector of PaddleX's, which gives boxes alone."""

    way: Way = "cropped"

    def __init__(self, model: ObjectDetection) -> None:
        self._model = model
        self.name = model.name

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """Those of the model."""
        return self._model.warmup_shapes

    def preprocess(self, image: Image, /) -> tuple[NDArray[Any], ...]:
        """As of the model. Raises ImageTooNarrow, ImageTooLarge."""
        return self._model.preprocess(image)

    def faces(
        self, outputs: tuple[NDArray[Any], ...], image: Image, min_score: float | None
    ) -> list[FoundFace]:
        """One item's outputs to the faces, the largest first. Raises ModelFailed."""
        height, width = image.shape[:2]
        found = self._model.postprocess(outputs, width, height, min_score)
        return largest_first([FoundFace(box=each.box, score=each.score) for each in found])


class LandmarkDetector:
    """A detector that gives five points of each face."""

    way: Way = "aligned"

    def __init__(self, model: CenterFace) -> None:
        self._model = model
        self.name = model.name

    @property
    def warmup_shapes(self) -> tuple[ItemShapes, ...]:
        """Those of the model."""
        return self._model.warmup_shapes

    def preprocess(self, image: Image, /) -> tuple[NDArray[Any], ...]:
        """As of the model. Raises ImageTooNarrow."""
        return self._model.preprocess(image)

    def faces(
        self, outputs: tuple[NDArray[Any], ...], image: Image, min_score: float | None
    ) -> list[FoundFace]:
        """One item's outputs to the faces, the largest first. Raises ModelFailed."""
        height, width = image.shape[:2]
        found = self._model.postprocess(outputs, width, height, min_score)
        return largest_first(
            [FoundFace(box=each.box, score=each.score, landmarks=each.landmarks) for each in found]
        )


def open_detector(directory: ModelDirectory) -> FaceDetector:
    """The detector of a model directory. Raises ModelUnavailable, ConfigurationError for another family."""
    if directory.family == "face_detection":
        return LandmarkDetector(CenterFace.open(directory))
    if directory.family == "object_detection":
        return BoxDetector(ObjectDetection.open(directory))
    raise ConfigurationError(f"{directory.name} is a model of {directory.family} and finds no faces.")


def largest_first(faces: list[FoundFace]) -> list[FoundFace]:
    """Without what is too small to be cut out."""
    kept = [face for face in faces if _side(face) >= MIN_SIDE]
    return sorted(kept, key=lambda face: face.area, reverse=True)


def cut_out(image: Image, face: FoundFace, side: int) -> Image:
    """The face for an embedder whose input has that side: aligned where it has landmarks, else its box."""
    if face.landmarks is None:
        return crop_box(image, face.box)
    return align(image, face.landmarks, template_of(side))


def _side(face: FoundFace) -> int:
    left, top, right, bottom = (int(side) for side in face.box)
    return min(right - left, bottom - top)
