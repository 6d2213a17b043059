"""Whole pictures: their features, the pictures of a gallery that are like them, their classes."""

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from paddlewheel.contracts.base import ImageRef, ModelName, Request, TaskSpec
from paddlewheel.contracts.results import Result
from paddlewheel.contracts.search import Match, ModelSearch
from paddlewheel.errors import UnsupportedSource
from paddlewheel.sources.images import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image


class ExtractFeature(Request):
    """The feature of a picture; a model of faces takes the whole picture for a face.

    For a PDF, `page_index` (from 0) says which page is meant.
    """

    image: ImageRef
    model: ModelName | None = None
    page_index: int = Field(default=0, ge=0)


class SearchImage(ModelSearch):
    """The pictures of a gallery that are most like this one."""

    image: ImageRef


class ClassifyImage(Request):
    """What a picture shows. `top_k` classes come with their probabilities; more than there are gives all."""

    image: ImageRef
    model: ModelName | None = None
    top_k: int = Field(default=5, ge=1, le=100_000)
    page_index: int = Field(default=0, ge=0)


class ExtractedFeature(Result):
    """A picture's feature: `dimension` floats by `model`."""

    feature: tuple[float, ...]
    dimension: int
    model: str

    def draw(self, image: ImageSource | None = None) -> "Image":  # noqa: ARG002
        """Raises UnsupportedSource: a feature cannot be seen."""
        raise UnsupportedSource("A feature has no picture: save it as JSON.")


class SimilarImages(Result):
    """What of `gallery` is most like the picture, best first."""

    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True)
    picture_name = "search_res_img"

    gallery: str
    rec_results: tuple[Match, ...] = Field(validation_alias="recResults", serialization_alias="recResults")

    def draw(self, image: ImageSource | None = None) -> "Image":
        """The picture above, the labels and scores of what is like it below."""
        from paddlewheel.pictures.captions import draw_captions

        rows = [(match.label, match.score) for match in self.rec_results]
        return draw_captions(self._picture(image), self.page_index, rows, otherwise="(nothing is like it)")


class ClassifiedImage(Result):
    """A picture's class.

    In JSON `class` is the class of the highest probability, `class_name` its name, and `class_probs` the
    probability of each of the best classes by its name, best first; a name that several classes share has
    the class in brackets behind it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True)
    picture_name = "class_res_img"

    class_id: int = Field(validation_alias="class", serialization_alias="class")
    class_name: str
    class_probs: dict[str, float]

    def draw(self, image: ImageSource | None = None) -> "Image":
        """The picture above, its classes and their probabilities below."""
        from paddlewheel.pictures.captions import draw_captions

        return draw_captions(self._picture(image), self.page_index, list(self.class_probs.items()))


EXTRACT_FEATURE = TaskSpec(
    name="features.extract", queue="gpu", request=ExtractFeature, result=ExtractedFeature
)
SEARCH_IMAGE = TaskSpec(name="images.search", queue="gpu", request=SearchImage, result=SimilarImages)
CLASSIFY_IMAGE = TaskSpec(name="images.classify", queue="gpu", request=ClassifyImage, result=ClassifiedImage)
