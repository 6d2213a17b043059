"""Whole pictures: features, similar pictures, classes."""

from paddlewheel.contracts.images import (
    CLASSIFY_IMAGE,
    EXTRACT_FEATURE,
    SEARCH_IMAGE,
    ClassifiedImage,
    ClassifyImage,
    ExtractedFeature,
    ExtractFeature,
    SearchImage,
    SimilarImages,
)
from tasks.batched import batched_task
from tasks.context import TaskContext
from tasks.resources import resources
from tasks.steps import Steps


@batched_task(EXTRACT_FEATURE)
def extract_feature(request: ExtractFeature, context: TaskContext) -> Steps[ExtractedFeature]:
    """The feature of a picture."""
    return resources().pictures.extract(request, context)


@batched_task(SEARCH_IMAGE)
def search_image(request: SearchImage, context: TaskContext) -> Steps[SimilarImages]:
    """The pictures of a gallery that are most like this one."""
    return resources().pictures.search(request, context)


@batched_task(CLASSIFY_IMAGE)
def classify_image(request: ClassifyImage, context: TaskContext) -> Steps[ClassifiedImage]:
    """What a picture shows."""
    return resources().pictures.classify(request, context)
