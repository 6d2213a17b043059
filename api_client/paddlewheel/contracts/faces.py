"""Faces: finding them in a picture, turning them into embeddings, telling whose they are.

Names are those of PaddleX's face service: `bbox` is left, top, right, bottom in pixels of the upright
picture, `score` the detector's, `recResults` what the gallery knows of the face.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from paddlewheel.contracts.base import ImageRef, ModelName, Request, TaskSpec
from paddlewheel.contracts.results import Result
from paddlewheel.contracts.search import Match, ModelSearch
from paddlewheel.sources.images import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image


class DetectFaces(Request):
    """Every face in a picture.

    `min_score` drops faces that the detector is less sure of; None takes the detector's own threshold. For
    a PDF, `page_index` (from 0) says which page is meant.
    """

    image: ImageRef
    model: ModelName | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    page_index: int = Field(default=0, ge=0)


class EmbedFaces(Request):
    """Every face in a picture, with its embedding; fields as of `DetectFaces`.

    A face is aligned by its five points where the detector gives them, and else cut out by its box.
    """

    image: ImageRef
    model: ModelName | None = None
    detection_model: ModelName | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    page_index: int = Field(default=0, ge=0)


class IdentifyFaces(ModelSearch):
    """Every face in a picture, and whose it is by a gallery of faces."""

    image: ImageRef
    detection_model: ModelName | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)


class DetectedFace(BaseModel):
    """One face.

    `landmarks` are (x, y) of the left eye, the right eye, the nose and the corners of the mouth, left and
    right as one looks at the picture; they may lie outside. None where the detector gives none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True)

    bbox: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def label(self) -> str | None:
        """Whose face it is; None where that was not asked."""
        return None

    @property
    def caption(self) -> str:
        """The text at the face in a drawing."""
        return f"{self.score:.2f}"


class EmbeddedFace(DetectedFace):
    """One face with its embedding."""

    feature: tuple[float, ...]


class IdentifiedFace(DetectedFace):
    """One face with what the gallery knows of it, best first; empty for a stranger."""

    rec_results: tuple[Match, ...] = Field(validation_alias="recResults", serialization_alias="recResults")

    @property
    def label(self) -> str | None:
        """The best match's label, None for a stranger."""
        return self.rec_results[0].label if self.rec_results else None

    @property
    def caption(self) -> str:
        """The best match's label and score; of a stranger the detector's score."""
        best = self.rec_results[0] if self.rec_results else None
        return f"{best.label} {best.score:.2f}" if best else f"? {self.score:.2f}"


class FaceResult(Result):
    """The faces of one picture of `width` x `height` pixels, the largest first."""

    picture_name = "face_res_img"

    width: int
    height: int
    faces: tuple[DetectedFace, ...]

    def draw(self, image: ImageSource | None = None) -> "Image":
        """The picture with a box around each face, and who it is."""
        from paddlewheel.pictures.faces import draw_faces

        return draw_faces(self, self._picture(image))


class DetectedFaces(FaceResult):
    """The faces that were found."""


class EmbeddedFaces(FaceResult):
    """The faces that were found, with their embeddings by `model`."""

    model: str
    faces: tuple[EmbeddedFace, ...]


class IdentifiedFaces(FaceResult):
    """The faces that were found, with their matches in `gallery`."""

    gallery: str
    faces: tuple[IdentifiedFace, ...]


DETECT_FACES = TaskSpec(name="faces.detect", queue="gpu", request=DetectFaces, result=DetectedFaces)
EMBED_FACES = TaskSpec(name="faces.embed", queue="gpu", request=EmbedFaces, result=EmbeddedFaces)
IDENTIFY_FACES = TaskSpec(name="faces.identify", queue="gpu", request=IdentifyFaces, result=IdentifiedFaces)
