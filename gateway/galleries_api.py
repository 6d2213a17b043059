"""Galleries as resources. Each call enqueues a task and waits for it; /v1/tasks runs the same tasks."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from gateway.contracts import over_http, store_images
from gateway.indexes import GallerySummary
from gateway.keys import require_scope
from gateway.plain_text import PlainText
from gateway.problems import PROBLEMS
from gateway.services import TaskRunner, gateway
from paddlewheel.contracts.galleries import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    EXPORT_GALLERY,
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
    RemovedVectors,
    RemoveGallery,
    SearchGallery,
)
from paddlewheel.contracts.search import GalleryKey

BuildOverHttp = over_http(BuildGallery)
AppendOverHttp = over_http(AppendGallery)

Service = Annotated[TaskRunner, Depends(gateway)]
Key = Annotated[GalleryKey, Path()]
READ = [Depends(require_scope("galleries:read"))]
WRITE = [Depends(require_scope("galleries:write"))]


class GalleryPage(BaseModel):
    """Galleries sorted by key; pass `next` as `after` to get the next page."""

    galleries: list[GallerySummary]
    next: str | None = None


def galleries_router() -> APIRouter:
    """All of /v1/galleries."""
    router = APIRouter(prefix="/v1/galleries", tags=["Galleries"], responses=PROBLEMS)

    @router.get("", dependencies=READ)
    async def list_galleries(
        service: Service,
        after: Annotated[PlainText, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> GalleryPage:
        """List all galleries by key."""
        found = await service.indexes.page(after, limit)
        return GalleryPage(galleries=found, next=found[-1].gallery if len(found) == limit else None)

    @router.post("", status_code=201, dependencies=WRITE)
    async def create_gallery(request: BuildOverHttp, service: Service) -> AddedImages:  # type: ignore[valid-type]
        """Create a gallery, empty or with a few images."""
        return await service.run(
            BUILD_GALLERY, BuildGallery.model_validate(await store_images(request, service.uploads.store))
        )

    @router.get("/{key}", dependencies=READ)
    async def describe_gallery(key: Key, service: Service) -> GalleryDescription:
        """Describe a gallery: model, index, size and segments."""
        return await service.run(DESCRIBE_GALLERY, DescribeGallery(gallery=key))

    @router.delete("/{key}", dependencies=WRITE)
    async def delete_gallery(key: Key, service: Service) -> DeletedGallery:
        """Delete a gallery and all its vectors."""
        return await service.run(DELETE_GALLERY, DeleteGallery(gallery=key))

    @router.post("/append", dependencies=WRITE)
    async def append_images(request: AppendOverHttp, service: Service) -> AddedImages:  # type: ignore[valid-type]
        """Append images; each one has its own outcome."""
        return await service.run(
            APPEND_GALLERY, AppendGallery.model_validate(await store_images(request, service.uploads.store))
        )

    @router.post("/erase", dependencies=WRITE)
    async def erase_vectors(request: RemoveGallery, service: Service) -> RemovedVectors:
        """Remove vectors by id, label or external id. The receipt says when files stop holding them."""
        return await service.run(REMOVE_GALLERY, request)

    @router.post("/search", dependencies=READ)
    async def search_gallery(request: SearchGallery, service: Service) -> FoundVectors:
        """Search by features; to search by an image, submit faces.identify or images.search."""
        return await service.run(SEARCH_GALLERY, request)

    @router.post("/export", dependencies=WRITE)
    async def export_gallery(request: ExportGallery, service: Service) -> ExportedGallery:
        """Export a gallery as a PaddleX folder to the workers' exchange folder."""
        return await service.run(EXPORT_GALLERY, request)

    return router
