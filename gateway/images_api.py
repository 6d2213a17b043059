"""Stores images that several tasks use."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, UploadFile

from gateway.keys import require_scope
from gateway.problems import PROBLEMS
from gateway.services import TaskRunner, gateway
from paddlewheel.contracts.base import ImageRef


def images_router() -> APIRouter:
    """All of /v1/images."""
    router = APIRouter(prefix="/v1/images", tags=["Images"], responses=PROBLEMS)

    @router.post("", status_code=201, dependencies=[Depends(require_scope("tasks"))])
    async def put_image(
        image: Annotated[UploadFile, File(description="An image file or a PDF.")],
        service: Annotated[TaskRunner, Depends(gateway)],
    ) -> ImageRef:
        """Store an image. Tasks refer to it by `blob` until `expires_at` (seconds since the epoch)."""
        return await service.uploads.put(await image.read(), image.filename or None)

    return router
