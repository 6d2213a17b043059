"""A task added by the steps of docs/how-to/add-a-task.md; a test compares these sources with that page."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from paddlewheel.contracts.base import ImageRef, ModelName, Request, TaskSpec
from paddlewheel.contracts.results import Result
from paddlewheel.errors import UnsupportedSource
from paddlewheel.sources.images import ImageSource
from tasks import resources as installed
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.images.loading import ImageLoader
from workers.inference.batching import DynamicBatcher
from workers.services.model_choice import choose_model
from workers.services.serving import ServingNotes

if TYPE_CHECKING:
    from PIL.Image import Image


class RateSharpness(Request):
    """How sharp a picture is. For a PDF, `page_index` (from 0) says which page is rated."""

    image: ImageRef
    model: ModelName | None = None
    page_index: int = Field(default=0, ge=0)


class RatedSharpness(Result):
    """`sharpness` is from 0, a blur, to 1."""

    sharpness: float

    def draw(self, image: ImageSource | None = None) -> "Image":  # noqa: ARG002
        """Raises UnsupportedSource: a rating cannot be drawn."""
        raise UnsupportedSource("A rating has no picture: save it as JSON.")


RATE_SHARPNESS = TaskSpec(name="images.sharpness", queue="gpu", request=RateSharpness, result=RatedSharpness)


class Pictures(Protocol):
    def rate_sharpness(self, request: RateSharpness, task: TaskContext) -> Steps[RatedSharpness]:
        """How sharp a picture is."""


class ToyResources(Protocol):
    pictures: Pictures


def resources() -> ToyResources:
    return cast(ToyResources, installed.resources())


def rate_sharpness(request: RateSharpness, context: TaskContext) -> Steps[RatedSharpness]:
    """How sharp a picture is."""
    return resources().pictures.rate_sharpness(request, context)


class SharpnessModel:
    """The half of the model that needs no network: half the mean brightness, which the host doubles."""

    name = "sharpness"

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        """A picture (BGR, [H, W, 3]) to one tensor [1]."""
        return (np.array([image.mean() / 510], dtype=np.float32),)

    def postprocess(self, outputs: tuple[NDArray[Any], ...]) -> float:
        """One item's rating."""
        return float(outputs[0][0])


class BatchedPictures:
    def __init__(
        self,
        *,
        raters: Mapping[str, SharpnessModel],
        serving: ServingNotes,
        batcher: DynamicBatcher,
        images: ImageLoader,
    ) -> None:
        self._raters = raters
        self._serving = serving
        self._batcher = batcher
        self._images = images

    def rate_sharpness(self, request: RateSharpness, task: TaskContext) -> Steps[RatedSharpness]:
        """How sharp a picture is."""
        began = time.perf_counter()
        model = choose_model(self._raters, request.model, "sharpness")
        page = self._images.load(request.image, request.page_index)
        waiting = self._batcher.submit(model.name, model.preprocess(page.image), task)
        yield
        answer = waiting.result()
        return RatedSharpness(
            input_path=request.image.input_path,
            page_index=page.page_index,
            sharpness=model.postprocess(answer.outputs),
            served=self._serving.note(model.name, [answer], task, began),
        )
