"""PaddleX's recognition services, of faces and of images (PP-ShiTu): four operations on an index.

Their ids are counted from 0 in each index, so the gateway counts too: an image's number is its external id
in the gallery, is never given twice, and is what idMap shows and remove takes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.drawing import jpeg
from gateway.envelope import Envelope, PaddleXRequest, enveloped
from gateway.index_operations import ChangeRequest
from gateway.keys import allowed
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
"""Vectors up to which idMap shows the whole index, as the seed's service does; above, only what is new."""

# Numbers given in advance: a request of many images is several tasks, which may be done in any order.
Key = Annotated[PlainText, Field(min_length=1, max_length=200)]


class ImageLabelPair(PaddleXRequest):
    """An image (base64, or an address where these are allowed) and its label."""

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
    """Images to take out, by the ids of idMap."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": [0, 2], "indexKey": "b4a3c1e0-2f5d-4f53-9d3f-6a4f2b1c7e90"}]}
    )

    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1, max_length=10_000)
    indexKey: Key  # noqa: N815


class InferRequest(PaddleXRequest):
    """A picture to recognise. Without an index, faces are found and not named."""

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
    """An image that is not in the index, and why. `position` counts the request's pairs from 0."""

    position: int
    label: str
    status: str
    errorMsg: str  # noqa: N815


class IndexResult(BaseModel):
    """An index after a change.

    `idMap` are labels by id: of the whole index up to 10,000 images, beyond that of what this request added.
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
    """A face or an object: left, top, right, bottom in pixels, and what the index knows of it."""

    bbox: tuple[float, float, float, float]
    recResults: list[RecResult]  # noqa: N815
    score: float


class FacesResult(BaseModel):
    """What was found. `image` is a JPEG, base64."""

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

    async def build(self, pairs: Sequence[ImageLabelPair], asking: ChangeRequest) -> IndexResult:
        """A new index of these images; those that cannot be used are told, unless all cannot."""
        images = await self._stored(pairs)
        operation = await self._gateway.operations.build(asking, self._kind, _content(images, pairs))
        try:
            async with self._gateway.operations.attended(operation, asking):
                if not operation.done:
                    request = BuildGallery(
                        gallery=operation.index_key, kind=self._kind, operation_id=operation.id
                    )
                    await self._gateway.run(BUILD_GALLERY, request)
                result = await self._append(operation, _numbered(operation, images, pairs))
            if len(result.skipped) == len(pairs):
                raise InvalidRequest(
                    f"None of the images can be used; the first: {result.skipped[0].errorMsg}"
                )
            await self._gateway.operations.conclude(operation, asking)
        except BaseException:
            # Nobody has been told its key.
            await asyncio.shield(self._gateway.operations.drop(operation))
            raise
        return result

    async def add(self, key: str, pairs: Sequence[ImageLabelPair], asking: ChangeRequest) -> IndexResult:
        """More images."""
        await self._known(key)
        images = await self._stored(pairs)
        operation = await self._gateway.operations.add(asking, key, _content(images, pairs))
        try:
            async with self._gateway.operations.attended(operation, asking):
                result = await self._append(operation, _numbered(operation, images, pairs))
            await self._gateway.operations.conclude(operation, asking)
        except BaseException:
            await asyncio.shield(self._gateway.operations.release(operation))
            raise
        return result

    async def remove(self, key: str, ids: Sequence[int]) -> IndexResult:
        """Fewer images; ids that are not there do not matter."""
        await self._known(key)
        request = RemoveGallery(gallery=key, external_ids=tuple(map(str, ids)))
        await self._gateway.run(REMOVE_GALLERY, request)
        return await self._shown(key, {}, [])

    async def _known(self, key: str) -> None:
        if await self._gateway.indexes.kind(key) != self._kind:
            raise GalleryNotFound(f"There is no index {key!r}.")

    async def _stored(self, pairs: Sequence[ImageLabelPair]) -> list[ImageRef]:
        return await self._gateway.intake.store_texts([pair.image for pair in pairs])

    async def _append(self, operation: Operation, items: Sequence[LabelledImage]) -> IndexResult:
        key = operation.index_key
        steps = [
            AppendGallery(
                gallery=key,
                items=tuple(part),
                several_faces="largest",
                operation_id=f"{operation.id}:{number}",
            )
            for number, part in enumerate(_parts(items))
        ]
        added = await asyncio.gather(*(self._gateway.run(APPEND_GALLERY, step) for step in steps))
        return await self._shown(key, *_told(items, added))

    async def _shown(self, key: str, new: dict[str, str], skipped: list[SkippedImage]) -> IndexResult:
        count = await self._gateway.indexes.size(key)
        shown = await self._gateway.indexes.id_map(key) if count <= ID_MAP_LIMIT else new
        return IndexResult(indexKey=key, idMap=shown, imageCount=count, skipped=skipped)


def _content(images: Sequence[ImageRef], pairs: Sequence[ImageLabelPair]) -> list[tuple[str, str]]:
    """What tells these images from others: an address may bring other bytes tomorrow."""
    return [(image.blob, pair.label) for image, pair in zip(images, pairs, strict=True)]


def _numbered(
    operation: Operation, images: Sequence[ImageRef], pairs: Sequence[ImageLabelPair]
) -> list[LabelledImage]:
    return [
        LabelledImage(image=image, label=pair.label, external_id=str(operation.first_number + position))
        for position, (image, pair) in enumerate(zip(images, pairs, strict=True))
    ]


def _parts(items: Sequence[LabelledImage]) -> Iterator[Sequence[LabelledImage]]:
    for start in range(0, len(items), MAX_ITEMS):
        yield items[start : start + MAX_ITEMS]


def _told(
    items: Sequence[LabelledImage], added: Sequence[AddedImages]
) -> tuple[dict[str, str], list[SkippedImage]]:
    """What is new by its id, and what was skipped, of all steps together."""
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
    Asked = Annotated[ChangeRequest, Depends()]  # noqa: N806 - a type

    @router.post(f"/{prefix}-index-build")
    async def index_build(request: BuildRequest, service: Service, asking: Asked) -> Envelope[IndexResult]:
        """Make an index of images and their labels."""
        return enveloped(await RecognitionIndex(service, kind).build(request.imageLabelPairs, asking))

    @router.post(f"/{prefix}-index-add")
    async def index_add(request: AddRequest, service: Service, asking: Asked) -> Envelope[IndexResult]:
        """Add images to an index."""
        index = RecognitionIndex(service, kind)
        return enveloped(await index.add(request.indexKey, request.imageLabelPairs, asking))

    @router.post(f"/{prefix}-index-remove", dependencies=[Depends(allowed("galleries:write"))])
    async def index_remove(request: RemoveRequest, service: Service) -> Envelope[IndexResult]:
        """Take images out of an index."""
        return enveloped(await RecognitionIndex(service, kind).remove(request.indexKey, request.ids))

    if kind == "faces":

        @router.post(
            f"/{prefix}-infer",
            dependencies=[Depends(allowed("galleries:read"))],
            response_model_exclude_none=True,
        )
        async def infer_faces(request: InferRequest, service: Service) -> Envelope[FacesResult]:
            """Find the faces of a picture, and tell whose they are."""
            image = await service.intake.store_text(request.image)
            return enveloped(await _faces(request, image, service))

    else:

        @router.post(
            f"/{prefix}-infer",
            dependencies=[Depends(allowed("galleries:read"))],
            response_model_exclude_none=True,
        )
        async def infer_objects(request: InferRequest, service: Service) -> Envelope[ObjectsResult]:
            """Find what of the index is most like a picture; the picture counts as one object."""
            image = await service.intake.store_text(request.image)
            return enveloped(await _objects(request, image, service))

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
