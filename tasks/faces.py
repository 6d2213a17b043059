"""Faces."""

from paddlewheel.contracts.faces import (
    DETECT_FACES,
    DETECT_FACES_MANY,
    EMBED_FACES,
    EMBED_FACES_MANY,
    IDENTIFY_FACES,
    IDENTIFY_FACES_MANY,
    DetectedFaces,
    DetectedFacesMany,
    DetectFaces,
    DetectFacesMany,
    EmbeddedFaces,
    EmbeddedFacesMany,
    EmbedFaces,
    EmbedFacesMany,
    IdentifiedFaces,
    IdentifiedFacesMany,
    IdentifyFaces,
    IdentifyFacesMany,
)
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources


@task(DETECT_FACES)
def detect_faces(request: DetectFaces, context: TaskContext) -> DetectedFaces:
    """Every face in a picture."""
    return resources().faces.detect(request, context)


@task(EMBED_FACES)
def embed_faces(request: EmbedFaces, context: TaskContext) -> EmbeddedFaces:
    """Every face in a picture, with its embedding."""
    return resources().faces.embed(request, context)


@task(IDENTIFY_FACES)
def identify_faces(request: IdentifyFaces, context: TaskContext) -> IdentifiedFaces:
    """Every face in a picture, and whose it is."""
    return resources().faces.identify(request, context)


@task(DETECT_FACES_MANY)
def detect_faces_many(request: DetectFacesMany, context: TaskContext) -> DetectedFacesMany:
    """The faces in many pictures."""
    return DetectedFacesMany(items=resources().faces.detect_many(request.items, context))


@task(EMBED_FACES_MANY)
def embed_faces_many(request: EmbedFacesMany, context: TaskContext) -> EmbeddedFacesMany:
    """The faces in many pictures, with their embeddings."""
    return EmbeddedFacesMany(items=resources().faces.embed_many(request.items, context))


@task(IDENTIFY_FACES_MANY)
def identify_faces_many(request: IdentifyFacesMany, context: TaskContext) -> IdentifiedFacesMany:
    """The faces in many pictures, and whose they are."""
    return IdentifiedFacesMany(items=resources().faces.identify_many(request.items, context))
