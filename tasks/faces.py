"""Faces."""

from paddlewheel.contracts.faces import (
    DETECT_FACES,
    EMBED_FACES,
    IDENTIFY_FACES,
    DetectedFaces,
    DetectFaces,
    EmbeddedFaces,
    EmbedFaces,
    IdentifiedFaces,
    IdentifyFaces,
)
from tasks.batched import batched_task
from tasks.context import TaskContext
from tasks.resources import resources
from tasks.steps import Steps


@batched_task(DETECT_FACES)
def detect_faces(request: DetectFaces, context: TaskContext) -> Steps[DetectedFaces]:
    """Every face in a picture."""
    return resources().faces.detect(request, context)


@batched_task(EMBED_FACES)
def embed_faces(request: EmbedFaces, context: TaskContext) -> Steps[EmbeddedFaces]:
    """Every face in a picture, with its embedding."""
    return resources().faces.embed(request, context)


@batched_task(IDENTIFY_FACES)
def identify_faces(request: IdentifyFaces, context: TaskContext) -> Steps[IdentifiedFaces]:
    """Every face in a picture, and whose it is."""
    return resources().faces.identify(request, context)
