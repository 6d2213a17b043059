"""PaddleX's services of one model: OCR, text recognition, image features, classification."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from gateway.drawing import jpeg
from gateway.envelope import Envelope, PaddleXRequest, to_envelope
from gateway.keys import require_scope
from gateway.problems import FAILED_ENVELOPES
from gateway.services import TaskRunner, gateway
from paddlewheel.contracts.images import CLASSIFY_IMAGE, EXTRACT_FEATURE, ClassifyImage, ExtractFeature
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT, ReadPages, RecognizeText

Service = Annotated[TaskRunner, Depends(gateway)]


class OcrRequest(PaddleXRequest):
    """A page or a PDF: base64, or an address if the operator allows them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"file": "/9j/4AAQSkZJRg...", "visualize": False}]}
    )

    file: str
    useTextlineOrientation: bool | None = None  # noqa: N815
    textRecScoreThresh: float | None = Field(None, ge=0, le=1)  # noqa: N815
    visualize: bool | None = None


class OcrPage(BaseModel):
    """One page's lines in PaddleX's fields; `ocrImage` is a JPEG, base64."""

    prunedResult: dict[str, Any]  # noqa: N815
    ocrImage: str | None = None  # noqa: N815


class OcrResult(BaseModel):
    """The pages, in order."""

    ocrResults: list[OcrPage]  # noqa: N815


class ImageRequest(PaddleXRequest):
    """An image: base64, or an address if the operator allows them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"image": "/9j/4AAQSkZJRg...", "visualize": False}]}
    )

    image: str
    visualize: bool | None = None


class ClassifyRequest(ImageRequest):
    """An image, and how many classes to return."""

    topk: int | None = Field(None, ge=1, le=1000)


class TextLine(BaseModel):
    """One line's text. `image` is a JPEG, base64."""

    text: str
    score: float
    image: str | None = None


class Feature(BaseModel):
    """An image's feature vector."""

    feature: list[float]
    dimension: int


class Category(BaseModel):
    """A class with its probability."""

    id: int | None = None
    name: str
    score: float


class Categories(BaseModel):
    """The best classes, best first. `image` is a JPEG, base64."""

    categories: list[Category]
    image: str | None = None


def vision_router() -> APIRouter:
    """The services, in PaddleX's envelope."""
    may = [Depends(require_scope("tasks"))]
    router = APIRouter(tags=["PaddleX: one model"], dependencies=may, responses=FAILED_ENVELOPES)

    @router.post("/ocr", response_model_exclude_none=True)
    async def ocr(request: OcrRequest, service: Service) -> Envelope[OcrResult]:
        """Read the text lines of a page or of a PDF's pages."""
        options: dict[str, Any] = {"orientation": request.useTextlineOrientation is not False}
        if request.textRecScoreThresh is not None:
            options["min_score"] = request.textRecScoreThresh
        image = await service.uploads.store_text(request.file)
        document = await service.run(READ_PAGES, ReadPages(image=image, **options))
        drawn = await asyncio.gather(*(jpeg(page, request.visualize) for page in document.pages))
        pruned = [page.model_dump(mode="json", exclude=_PRUNED) for page in document.pages]
        pages = [
            OcrPage(prunedResult=each, ocrImage=picture) for each, picture in zip(pruned, drawn, strict=True)
        ]
        return to_envelope(OcrResult(ocrResults=pages))

    @router.post("/text-recognition", response_model_exclude_none=True)
    async def text_recognition(request: ImageRequest, service: Service) -> Envelope[TextLine]:
        """Recognise one text line."""
        image = await service.uploads.store_text(request.image)
        line = await service.run(RECOGNIZE_TEXT, RecognizeText(image=image))
        picture = await jpeg(line, request.visualize)
        return to_envelope(TextLine(text=line.rec_text, score=line.rec_score, image=picture))

    @router.post("/image-feature")
    async def image_feature(request: ImageRequest, service: Service) -> Envelope[Feature]:
        """Extract an image's feature vector."""
        image = await service.uploads.store_text(request.image)
        found = await service.run(EXTRACT_FEATURE, ExtractFeature(image=image))
        return to_envelope(Feature(feature=list(found.feature), dimension=found.dimension))

    @router.post("/image-classification", response_model_exclude_none=True)
    async def image_classification(request: ClassifyRequest, service: Service) -> Envelope[Categories]:
        """Classify an image."""
        options = {} if request.topk is None else {"top_k": request.topk}
        image = await service.uploads.store_text(request.image)
        found = await service.run(CLASSIFY_IMAGE, ClassifyImage(image=image, **options))
        categories = [Category(name=name, score=score) for name, score in found.class_probs.items()]
        categories[0] = categories[0].model_copy(update={"id": found.class_id})
        return to_envelope(Categories(categories=categories, image=await jpeg(found, request.visualize)))

    return router


_PRUNED = {"input_path", "page_index", "served"}
