"""PaddleX's recognition services, for faces and for images (PP-ShiTu): four operations on an index.

PaddleX numbers images from 0 in each index, and so does the gateway. An image's number is its external id in
the gallery, is never reused, and is what idMap shows and the remove operation takes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.drawing import jpeg
from gateway.envelope import Envelope, PaddleXRequest, to_envelope
from gateway.index_operations import ChangeRequest
from gateway.keys import require_scope
from gateway.plain_text import PlainText
from gateway.problems import FAILED_ENVELOPES
from gateway.services import TaskRunner, gateway
from job_store.http_operations import Operation
from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.faces import DETECT_FACES, IDENTIFY_FACES
from paddlewheel.contracts.galleries import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    MAX_ITEMS,
    REMOVE_GALLERY,
    AddedImages,
    AppendGallery,
    BuildGallery,
    GalleryKind,
    LabelledImage,
    RemoveGallery,
)
from paddlewheel.contracts.images import SEARCH_IMAGE
from paddlewheel.contracts.search import MAX_TOP_K, GalleryKey
from paddlewheel.errors import GalleryNotFound, InvalidRequest

ID_MAP_LIMIT: Final = 10_000
"""Size up to which idMap shows the whole index, as PaddleX's service does; above it, only new images."""

Key = Annotated[PlainText, Field(min_length=1, max_length=200)]


class ImageLabelPair(PaddleXRequest):
    """An image (base64, or an address if the operator allows them) and its label."""

    image: str
    label: PlainText = Field(min_length=1, max_length=1024)


class BuildRequest(PaddleXRequest):
    """The images of a new index."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"imageLabelPairs": [{"image": "/9j/4AAQSkZJRg...", "label": "Grace Hopper"}]}]
        }
    )

    imageLabelPairs: list[ImageLabelPair] = Field(min_length=1, max_length=10_000)  # noqa: N815


class AddRequest(PaddleXRequest):
    """More images for an index."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "imageLabelPairs": [{"image": "/9j/4AAQSkZJRg...", "label": "Grace Hopper"}],
                    "indexKey": "b4a3c1e0-2f5d-4f53-9d3f-6a4f2b1c7e90",
                }
            ]
        }
    )

    imageLabelPairs: list[ImageLabelPair] = Field(min_length=1, max_length=10_000)  # noqa: N815
    indexKey: Key  # noqa: N815


class RemoveRequest(PaddleXRequest):
    """Images to remove, by their ids in idMap."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": [0, 2], "indexKey": "b4a3c1e0-2f5d-4f53-9d3f-6a4f2b1c7e90"}]}
    )

    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1, max_length=10_000)
    indexKey: Key  # noqa: N815


class InferRequest(PaddleXRequest):
    """A picture to recognise. Without an index, faces are detected but not identified."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"image": "/9j/4AAQSkZJRg...", "indexKey": "b4a3c1e0-2f5d-4f53-9d3f-6a4f2b1c7e90", "topk": 1}
            ]
        }
    )

    image: str
    indexKey: Key | None = None  # noqa: N815
    detThreshold: float | None = Field(None, ge=0, le=1)  # noqa: N815
    recThreshold: float | None = Field(None, allow_inf_nan=False)  # noqa: N815
    topk: int | None = Field(None, ge=1, le=MAX_TOP_K)
    visualize: bool | None = None


class SkippedImage(BaseModel):
    """An image that was not indexed, and why. `position` counts the request's pairs from 0."""

    position: int
    label: str
    status: str
    errorMsg: str  # noqa: N815


class IndexResult(BaseModel):
    """An index after a change.

    `idMap` maps ids to labels: of the whole index up to 10,000 images, else of the images just added.
    """

    indexKey: str  # noqa: N815
    idMap: dict[str, str]  # noqa: N815
    imageCount: int  # noqa: N815
    skipped: list[SkippedImage] = []


class RecResult(BaseModel):
    """A label with its score."""

    label: str
    score: float


class Recognised(BaseModel):
    """A face or an object: left, top, right, bottom in pixels, and its matches in the index."""

    bbox: tuple[float, float, float, float]
    recResults: list[RecResult]  # noqa: N815
    score: float


class FacesResult(BaseModel):
    """The faces found. `image` is a JPEG, base64."""

    faces: list[Recognised]
    image: str | None = None


class ObjectsResult(BaseModel):
    """The picture as one object. `image` is a JPEG, base64."""

    detectedObjects: list[Recognised]  # noqa: N815
    image: str | None = None


class RecognitionIndex:
    """The index operations for one kind of gallery."""

    def __init__(self, gateway: TaskRunner, kind: GalleryKind) -> None:
        self._gateway = gateway
        self._kind = kind

    async def build(self, pairs: Sequence[ImageLabelPair], change: ChangeRequest) -> IndexResult:
        """Build an index of these images and report those that cannot be used.

        Raises InvalidRequest if none can be used.
        """
        images = await self._store(pairs)
        operation = await self._gateway.operations.build(change, self._kind, _content_of(images, pairs))
        try:
            async with self._gateway.operations.watch_caller(operation, change):
                if not operation.done:
                    request = BuildGallery(
                        gallery=operation.index_key, kind=self._kind, operation_id=operation.id
                    )
                    await self._gateway.run(BUILD_GALLERY, request)
                result = await self._append(operation, _number_images(operation, images, pairs))
            if len(result.skipped) == len(pairs):
                raise InvalidRequest(
                    f"None of the images can be used; the first: {result.skipped[0].errorMsg}"
                )
            await self._gateway.operations.conclude(operation, change)
        except BaseException:
            # The caller has not received its key.
            await asyncio.shield(self._gateway.operations.drop(operation))
            raise
        return result

    async def add(self, key: str, pairs: Sequence[ImageLabelPair], change: ChangeRequest) -> IndexResult:
        """Add images. Raises GalleryNotFound."""
        await self._require_index(key)
        images = await self._store(pairs)
        operation = await self._gateway.operations.add(change, key, _content_of(images, pairs))
        try:
            async with self._gateway.operations.watch_caller(operation, change):
                result = await self._append(operation, _number_images(operation, images, pairs))
            await self._gateway.operations.conclude(operation, change)
        except BaseException:
            await asyncio.shield(self._gateway.operations.release(operation))
            raise
        return result

    async def remove(self, key: str, ids: Sequence[int]) -> IndexResult:
        """Remove images; unknown ids are ignored. Raises GalleryNotFound."""
        await self._require_index(key)
        request = RemoveGallery(gallery=key, external_ids=tuple(map(str, ids)))
        await self._gateway.run(REMOVE_GALLERY, request)
        return await self._describe(key, {}, [])

    async def _require_index(self, key: str) -> None:
        if await self._gateway.indexes.kind(key) != self._kind:
            raise GalleryNotFound(f"There is no index {key!r}.")

    async def _store(self, pairs: Sequence[ImageLabelPair]) -> list[ImageRef]:
        return await self._gateway.uploads.store_texts([pair.image for pair in pairs])

    async def _append(self, operation: Operation, items: Sequence[LabelledImage]) -> IndexResult:
        key = operation.index_key
        steps = [
            AppendGallery(
                gallery=key,
                items=tuple(part),
                several_faces="largest",
                operation_id=f"{operation.id}:{number}",
            )
            for number, part in enumerate(_split(items))
        ]
        added = await asyncio.gather(*(self._gateway.run(APPEND_GALLERY, step) for step in steps))
        return await self._describe(key, *_collect_outcomes(items, added))

    async def _describe(self, key: str, new: dict[str, str], skipped: list[SkippedImage]) -> IndexResult:
        count = await self._gateway.indexes.size(key)
        shown = await self._gateway.indexes.id_map(key) if count <= ID_MAP_LIMIT else new
        return IndexResult(indexKey=key, idMap=shown, imageCount=count, skipped=skipped)


def _content_of(images: Sequence[ImageRef], pairs: Sequence[ImageLabelPair]) -> list[tuple[str, str]]:
    """Identify a request by its images' content: an address may return other bytes tomorrow."""
    return [(image.blob, pair.label) for image, pair in zip(images, pairs, strict=True)]


def _number_images(
    operation: Operation, images: Sequence[ImageRef], pairs: Sequence[ImageLabelPair]
) -> list[LabelledImage]:
    # Numbered before they are enqueued: a large request is several tasks, which may run in any order.
    return [
        LabelledImage(image=image, label=pair.label, external_id=str(operation.first_number + position))
        for position, (image, pair) in enumerate(zip(images, pairs, strict=True))
    ]


def _split(items: Sequence[LabelledImage]) -> Iterator[Sequence[LabelledImage]]:
    for start in range(0, len(items), MAX_ITEMS):
        yield items[start : start + MAX_ITEMS]


def _collect_outcomes(
    items: Sequence[LabelledImage], added: Sequence[AddedImages]
) -> tuple[dict[str, str], list[SkippedImage]]:
    """Collect the labels of indexed images by id, and the skipped images, over all steps."""
    outcomes = [outcome for step in added for outcome in step.outcomes]
    new: dict[str, str] = {}
    skipped: list[SkippedImage] = []
    for position, (item, outcome) in enumerate(zip(items, outcomes, strict=True)):
        if outcome.status == "indexed":
            new[item.external_id or ""] = item.label
        else:
            message = outcome.error.message if outcome.error else outcome.status
            skipped.append(
                SkippedImage(position=position, label=item.label, status=outcome.status, errorMsg=message)
            )
    return new, skipped


def recognition_router(kind: GalleryKind, prefix: Literal["face-recognition", "shitu"]) -> APIRouter:
    """The four operations under PaddleX's names."""
    router = APIRouter(tags=[f"PaddleX: {prefix}"], responses=FAILED_ENVELOPES)
    Service = Annotated[TaskRunner, Depends(gateway)]  # noqa: N806 - a type
    Change = Annotated[ChangeRequest, Depends()]  # noqa: N806 - a type

    @router.post(f"/{prefix}-index-build")
    async def index_build(request: BuildRequest, service: Service, change: Change) -> Envelope[IndexResult]:
        """Build an index from images and their labels."""
        return to_envelope(await RecognitionIndex(service, kind).build(request.imageLabelPairs, change))

    @router.post(f"/{prefix}-index-add")
    async def index_add(request: AddRequest, service: Service, change: Change) -> Envelope[IndexResult]:
        """Add images to an index."""
        index = RecognitionIndex(service, kind)
        return to_envelope(await index.add(request.indexKey, request.imageLabelPairs, change))

    @router.post(f"/{prefix}-index-remove", dependencies=[Depends(require_scope("galleries:write"))])
    async def index_remove(request: RemoveRequest, service: Service) -> Envelope[IndexResult]:
        """Remove images from an index."""
        return to_envelope(await RecognitionIndex(service, kind).remove(request.indexKey, request.ids))

    if kind == "faces":

        @router.post(
            f"/{prefix}-infer",
            dependencies=[Depends(require_scope("galleries:read"))],
            response_model_exclude_none=True,
        )
        async def infer_faces(request: InferRequest, service: Service) -> Envelope[FacesResult]:
            """Detect the faces in a picture and identify them."""
            image = await service.uploads.store_text(request.image)
            return to_envelope(await _faces(request, image, service))

    else:

        @router.post(
            f"/{prefix}-infer",
            dependencies=[Depends(require_scope("galleries:read"))],
            response_model_exclude_none=True,
        )
        async def infer_objects(request: InferRequest, service: Service) -> Envelope[ObjectsResult]:
            """Search the index for a picture, which counts as one object."""
            image = await service.uploads.store_text(request.image)
            return to_envelope(await _objects(request, image, service))

    return router


async def _faces(request: InferRequest, image: ImageRef, service: TaskRunner) -> FacesResult:
    options: dict[str, Any] = {"image": image, "min_score": request.detThreshold}
    if request.indexKey is None:
        found = await service.run(DETECT_FACES, DETECT_FACES.request(**options))
        faces = [Recognised(bbox=face.bbox, recResults=[], score=face.score) for face in found.faces]
        return FacesResult(faces=faces, image=await jpeg(found, request.visualize))
    search = _search(request)
    named = await service.run(IDENTIFY_FACES, IDENTIFY_FACES.request(**options, **search))
    faces = [
        Recognised(
            bbox=face.bbox,
            recResults=[RecResult(label=match.label, score=match.score) for match in face.rec_results],
            score=face.score,
        )
        for face in named.faces
    ]
    return FacesResult(faces=faces, image=await jpeg(named, request.visualize))


async def _objects(request: InferRequest, image: ImageRef, service: TaskRunner) -> ObjectsResult:
    if request.indexKey is None:
        raise InvalidRequest("indexKey is missing: there is no index to search.")
    found = await service.run(SEARCH_IMAGE, SEARCH_IMAGE.request(image=image, **_search(request)))
    width, height = await service.size_of(image)
    whole = Recognised(
        bbox=(0.0, 0.0, float(width), float(height)),
        recResults=[RecResult(label=match.label, score=match.score) for match in found.rec_results],
        score=1.0,
    )
    return ObjectsResult(detectedObjects=[whole], image=await jpeg(found, request.visualize))


_KEYS: Final[TypeAdapter[str]] = TypeAdapter(GalleryKey)


def _search(request: InferRequest) -> dict[str, Any]:
    given = {"top_k": request.topk, "threshold": request.recThreshold}
    try:
        key = _KEYS.validate_python(request.indexKey)
    except ValidationError as err:
        raise GalleryNotFound("There is no index of that key.") from err
    return {"gallery": key} | {name: value for name, value in given.items() if value is not None}
