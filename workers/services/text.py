"""Reading text: from stored images, through the batcher, to results."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from paddlewheel.contracts.base import ItemError, Outcome
from paddlewheel.contracts.results import Served
from paddlewheel.contracts.text import (
    Page,
    ReadDocument,
    ReadPages,
    RecognizedText,
    RecognizedTexts,
    RecognizeText,
    RecognizeTexts,
)
from paddlewheel.errors import InternalError, PaddlewheelError
from tasks.context import TaskContext
from workers.images.loading import Image, ImageLoader, PageImage
from workers.inference.batching import DynamicBatcher
from workers.inference.items import Answer
from workers.models.families.text_crops import crop_line, reading_order
from workers.models.families.text_detection import Polygon, TextDetection
from workers.models.families.text_orientation import TextOrientation
from workers.models.families.text_recognition import TextRecognition
from workers.services.model_choice import chosen

MIN_CROP: Final = 2
"""Pixels: a detected line that is thinner than this holds no text."""

Model = TypeVar("Model")
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TextModels:
    """The models served, by name; the first of each is the default. `orientation` may be missing."""

    recognition: Mapping[str, TextRecognition]
    detection: Mapping[str, TextDetection]
    orientation: TextOrientation | None
    served: Mapping[str, Served]


@dataclass(frozen=True, kw_only=True)
class _Line:
    text: str
    score: float
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class _StartedLine:
    request: RecognizeText
    page_index: int | None
    model: TextRecognition
    waiting: "Future[Answer]"


class BatchedTextReader:
    """Reads lines and pages; every model run goes through the batcher, together with other tasks' items."""

    def __init__(
        self, models: TextModels, batcher: DynamicBatcher, lines: ImageLoader, pages: ImageLoader
    ) -> None:
        """`lines` and `pages` load images within the limits of one text line and of one page."""
        self._models = models
        self._batcher = batcher
        self._lines = lines
        self._pages = pages

    def recognize(self, request: RecognizeText, task: TaskContext) -> RecognizedText:
        """One text line."""
        began = time.perf_counter()
        page = self._lines.load(request.image, request.page_index)
        return self._finish(self._start(request, page, task), task, began)

    def recognize_many(self, request: RecognizeTexts, task: TaskContext) -> RecognizedTexts:
        """Many text lines; decoding goes on while the first ones are already in the model."""
        began = time.perf_counter()
        items = request.items
        pages = self._lines.load_each([item.image for item in items], [item.page_index for item in items])
        started = [_attempt(self._start, item, page, task) for item, page in zip(items, pages, strict=True)]
        results = [_attempt(self._finish, each, task, began) for each in started]
        return RecognizedTexts(items=tuple(_outcome(result) for result in results))

    def read(self, request: ReadPages, task: TaskContext) -> ReadDocument:
        """Every line of every page, in reading order."""
        with self._pages.load_pages(request.image, request.pages) as document:
            pages = tuple(self._read_page(page, request, task) for page in document)
            count = document.page_count
        return ReadDocument(input_path=request.image.input_path, page_count=count, pages=pages)

    def _read_page(self, page: PageImage, request: ReadPages, task: TaskContext) -> Page:
        began = time.perf_counter()
        task.check()
        recognizer = chosen(self._models.recognition, request.recognition_model, "text recognition")
        found = self._detect(page.image, request.detection_model, task)
        crops = [crop_line(page.image, polygon) for polygon, _ in found]
        suspects = self._upside_down(crops, task) if request.orientation else []
        waiting = [self._submit(recognizer, each, task) for each in crops]
        turned = {i: self._submit(recognizer, _turned(crops[i]), task) for i in suspects}
        lines = [_line(recognizer, each.result()) for each in waiting]
        angles = [0] * len(lines)
        for i, each in turned.items():
            line = _line(recognizer, each.result())
            if line.score > lines[i].score:
                lines[i], angles[i] = line, 180
        kept = [i for i, line in enumerate(lines) if line.text and line.score >= request.min_score]
        height, width = page.image.shape[:2]
        return Page(
            input_path=request.image.input_path,
            page_index=page.page_index,
            width=width,
            height=height,
            dt_polys=tuple(_corners(found[i][0]) for i in kept),
            dt_scores=tuple(found[i][1] for i in kept),
            rec_texts=tuple(lines[i].text for i in kept),
            rec_scores=tuple(lines[i].score for i in kept),
            angles=tuple(angles[i] for i in kept),
            served=self._served(recognizer.name, [line.answer for line in lines], task, began),
        )

    def _detect(self, image: Image, name: str | None, task: TaskContext) -> list[tuple[Polygon, float]]:
        detector = chosen(self._models.detection, name, "text detection")
        answer = self._batcher.submit(detector.name, detector.preprocess(image), task).result()
        height, width = image.shape[:2]
        found = [
            (polygon, score)
            for polygon, score in detector.postprocess(answer.outputs, width, height)
            if _thickness(polygon) >= MIN_CROP
        ]
        return [found[i] for i in reading_order([polygon for polygon, _ in found])]

    def _upside_down(self, crops: Sequence[Image], task: TaskContext) -> list[int]:
        """The crops that may stand upside down.

        They are read both ways, and the better reading counts: the classifier is sometimes sure and wrong,
        and a good line that is turned is lost.
        """
        model = self._models.orientation
        if model is None:
            return []
        waiting = [self._batcher.submit(model.name, model.preprocess(each), task) for each in crops]
        return [i for i, each in enumerate(waiting) if model.postprocess(each.result().outputs)[0] == 180]

    def _submit(self, model: TextRecognition, image: Image, task: TaskContext) -> "Future[Answer]":
        return self._batcher.submit(model.name, model.preprocess(image), task)

    def _start(
        self, request: RecognizeText, page: PageImage | PaddlewheelError, task: TaskContext
    ) -> _StartedLine:
        if isinstance(page, PaddlewheelError):
            raise page
        model = chosen(self._models.recognition, request.model, "text recognition")
        waiting = self._submit(model, page.image, task)
        return _StartedLine(request=request, page_index=page.page_index, model=model, waiting=waiting)

    def _finish(
        self, started: _StartedLine | PaddlewheelError, task: TaskContext, began: float
    ) -> RecognizedText:
        if isinstance(started, PaddlewheelError):
            raise started
        line = _line(started.model, started.waiting.result())
        return RecognizedText(
            input_path=started.request.image.input_path,
            page_index=started.page_index,
            rec_text=line.text,
            rec_score=line.score,
            served=self._served(started.model.name, [line.answer], task, began),
        )

    def _served(self, model: str, answers: Sequence[Answer], task: TaskContext, began: float) -> Served:
        return self._models.served[model].model_copy(
            update={
                "queue_ms": task.queue_ms,
                "batch_wait_ms": max((each.batch_wait_ms for each in answers), default=0.0),
                "batch_size": max((each.batch_size for each in answers), default=0),
                "model_ms": max((each.model_ms for each in answers), default=0.0),
                "total_ms": (time.perf_counter() - began) * 1000,
            }
        )


def _turned(crop: Image) -> Image:
    return np.ascontiguousarray(np.rot90(crop, 2))


def _attempt(work: Callable[..., T], *arguments: object) -> T | PaddlewheelError:
    """One item's step: whatever fails is that item's own error."""
    try:
        return work(*arguments)
    except PaddlewheelError as err:
        return err
    except Exception:
        log.exception("an item of many failed unexpectedly")
        return InternalError("The item failed unexpectedly; the worker's log has the details.")


def _outcome(result: RecognizedText | PaddlewheelError) -> Outcome[RecognizedText]:
    if isinstance(result, PaddlewheelError):
        return Outcome(error=ItemError(code=result.code, message=result.message))
    return Outcome(result=result)


def _line(model: TextRecognition, answer: Answer) -> _Line:
    text, score = model.postprocess(answer.outputs)
    return _Line(text=text, score=score, answer=answer)


def _corners(polygon: Polygon) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in polygon)


def _thickness(polygon: Polygon) -> float:
    return float(min(np.linalg.norm(polygon[0] - polygon[1]), np.linalg.norm(polygon[1] - polygon[2])))
