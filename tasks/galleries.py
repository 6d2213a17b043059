"""Galleries: made of images, changed, asked and taken care of."""

from paddlewheel.contracts.galleries import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    EXPORT_GALLERY,
    IMPORT_GALLERY,
    REMOVE_GALLERY,
    SEARCH_GALLERY,
    AddedImages,
    AppendGallery,
    BuildGallery,
    DeletedGallery,
    DeleteGallery,
    DescribeGallery,
    ExportedGallery,
    ExportGallery,
    FoundVectors,
    GalleryDescription,
    ImportedGallery,
    ImportGallery,
    RemovedVectors,
    RemoveGallery,
    SearchGallery,
)
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources


@task(BUILD_GALLERY)
def build_gallery(request: BuildGallery, context: TaskContext) -> AddedImages:
    """A new gallery, with its first images."""
    return resources().galleries.build(request, context)


@task(APPEND_GALLERY)
def append_gallery(request: AppendGallery, context: TaskContext) -> AddedImages:
    """More images in a gallery."""
    return resources().galleries.append(request, context)


@task(REMOVE_GALLERY)
def remove_gallery(request: RemoveGallery, context: TaskContext) -> RemovedVectors:
    """Take vectors out of a gallery."""
    return resources().galleries.remove(request, context)


@task(SEARCH_GALLERY)
def search_gallery(request: SearchGallery, context: TaskContext) -> FoundVectors:
    """Search a gallery by features."""
    return resources().galleries.search(request, context)


@task(DESCRIBE_GALLERY)
def describe_gallery(request: DescribeGallery, context: TaskContext) -> GalleryDescription:
    """What a gallery is made of."""
    return resources().galleries.describe(request, context)


@task(DELETE_GALLERY)
def delete_gallery(request: DeleteGallery, context: TaskContext) -> DeletedGallery:
    """Delete a gallery."""
    return resources().galleries.delete(request, context)


@task(EXPORT_GALLERY)
def export_gallery(request: ExportGallery, context: TaskContext) -> ExportedGallery:
    """Write a gallery as PaddleX's folder."""
    return resources().galleries.export(request, context)


@task(IMPORT_GALLERY)
def import_gallery(request: ImportGallery, context: TaskContext) -> ImportedGallery:
    """A new gallery out of PaddleX's folder."""
    return resources().galleries.import_(request, context)
