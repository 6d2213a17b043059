"""Whole pictures: features, similar pictures, classes."""

from paddlewheel.contracts.images import (
    CLASSIFY_IMAGE,
    CLASSIFY_IMAGES,
    EXTRACT_FEATURE,
    EXTRACT_FEATURES,
    SEARCH_IMAGE,
    SEARCH_IMAGES,
    ClassifiedImage,
    ClassifiedImages,
    ClassifyImage,
    ClassifyImages,
    ExtractedFeature,
    ExtractedFeatures,
    ExtractFeature,
    ExtractFeatures,
    SearchImage,
    SearchImages,
    SimilarImages,
    SimilarImagesMany,
)
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources


@task(EXTRACT_FEATURE)
def extract_feature(request: ExtractFeature, context: TaskContext) -> ExtractedFeature:
    """The feature of a picture."""
    return resources().pictures.extract(request, context)


@task(SEARCH_IMAGE)
def search_image(request: SearchImage, context: TaskContext) -> SimilarImages:
    """What of a gallery is most like a picture."""
    return resources().pictures.search(request, context)


@task(CLASSIFY_IMAGE)
def classify_image(request: ClassifyImage, context: TaskContext) -> ClassifiedImage:
    """What a picture shows."""
    return resources().pictures.classify(request, context)


@task(EXTRACT_FEATURES)
def extract_features(request: ExtractFeatures, context: TaskContext) -> ExtractedFeatures:
    """The features of many pictures."""
    return ExtractedFeatures(items=resources().pictures.extract_many(request.items, context))


@task(SEARCH_IMAGES)
def search_images(request: SearchImages, context: TaskContext) -> SimilarImagesMany:
    """What of a gallery is most like each of many pictures."""
    return SimilarImagesMany(items=resources().pictures.search_many(request.items, context))


@task(CLASSIFY_IMAGES)
def classify_images(request: ClassifyImages, context: TaskContext) -> ClassifiedImages:
    """What many pictures show."""
    return ClassifiedImages(items=resources().pictures.classify_many(request.items, context))
