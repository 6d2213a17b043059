"""Galleries as resources. Each call is a task that the gateway waits for; tasks may be submitted too."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from gateway.contracts import over_http, stored
from gateway.indexes import GallerySummary
from gateway.keys import allowed
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
READ = [Depends(allowed("galleries:read"))]
WRITE = [Depends(allowed("galleries:write"))]


class GalleryPage(BaseModel):
    """Galleries by their keys; `next` is where the page after this one begins."""

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
        """Every gallery, by key."""
        found = await service.indexes.page(after, limit)
        return GalleryPage(galleries=found, next=found[-1].gallery if len(found) == limit else None)

    @router.post("", status_code=201, dependencies=WRITE)
    async def create_gallery(request: BuildOverHttp, service: Service) -> AddedImages:  # type: ignore[valid-type]
        """Create a gallery, empty or of a few images."""
        return await service.run(
            BUILD_GALLERY, BuildGallery.model_validate(await stored(request, service.intake.store))
        )

    @router.get("/{key}", dependencies=READ)
    async def describe_gallery(key: Key, service: Service) -> GalleryDescription:
        """What a gallery is made of."""
        return await service.run(DESCRIBE_GALLERY, DescribeGallery(gallery=key))

    @router.delete("/{key}", dependencies=WRITE)
    async def delete_gallery(key: Key, service: Service) -> DeletedGallery:
        """Delete a gallery with all that it holds."""
        return await service.run(DELETE_GALLERY, DeleteGallery(gallery=key))

    @router.post("/append", dependencies=WRITE)
    async def append_images(request: AppendOverHttp, service: Service) -> AddedImages:  # type: ignore[valid-type]
        """Append images; each has its own outcome."""
        return await service.run(
            APPEND_GALLERY, AppendGallery.model_validate(await stored(request, service.intake.store))
        )

    @router.post("/erase", dependencies=WRITE)
    async def erase_vectors(request: RemoveGallery, service: Service) -> RemovedVectors:
        """Remove vectors by id, label or external id. The receipt says until when files hold them."""
        return await service.run(REMOVE_GALLERY, request)

    @router.post("/search", dependencies=READ)
    async def search_gallery(request: SearchGallery, service: Service) -> FoundVectors:
        """Search by features; to search by an image, submit faces.identify or images.search."""
        return await service.run(SEARCH_GALLERY, request)

    @router.post("/export", dependencies=WRITE)
    async def export_gallery(request: ExportGallery, service: Service) -> ExportedGallery:
        """Write a gallery as PaddleX's folder where the workers keep exchanged files."""
        return await service.run(EXPORT_GALLERY, request)

    return router
