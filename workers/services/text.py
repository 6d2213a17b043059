"""Reading text: lines and pages, from stored images to results. Every model run goes through the batcher."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np

from paddlewheel.contracts.text import Page, ReadDocument, ReadPages, RecognizedText, RecognizeText
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.images.loading import Image, ImageLoader, PageImage
from workers.inference.batching import DynamicBatcher
from workers.inference.items import Answer
from workers.models.families.text_crops import crop_line, reading_order
from workers.models.families.text_detection import Polygon, TextDetection
from workers.models.families.text_orientation import TextOrientation
from workers.models.families.text_recognition import TextRecognition
from workers.services.model_choice import choose_model
from workers.services.serving import ServingNotes

MIN_CROP: Final = 2
"""Pixels: a detected line that is thinner than this holds no text."""


@dataclass(frozen=True, kw_only=True)
class TextModels:
    """The models served, by name; the first of each is the default. `orientation` may be missing."""

    recognition: Mapping[str, TextRecognition]
    detection: Mapping[str, TextDetection]
    orientation: TextOrientation | None


@dataclass(frozen=True, kw_only=True)
class _Line:
    text: str
    score: float
    answer: Answer


class BatchedTextReader:
    """Reads lines and pages."""

    def __init__(
        self,
        *,
        models: TextModels,
        serving: ServingNotes,
        batcher: DynamicBatcher,
        lines: ImageLoader,
        pages: ImageLoader,
    ) -> None:
        """`lines` and `pages` load images within the limits of one text line and of one page."""
        self._models = models
        self._serving = serving
        self._batcher = batcher
        self._lines = lines
        self._pages = pages

    def recognize(self, request: RecognizeText, task: TaskContext) -> Steps[RecognizedText]:
        """One text line."""
        began = time.perf_counter()
        recognizer = self._recognizer(request.model)
        page_index, waiting = self._submit_stored(recognizer, request, task)
        yield
        line = _read_line(recognizer, waiting.result())
        return RecognizedText(
            input_path=request.image.input_path,
            page_index=page_index,
            rec_text=line.text,
            rec_score=line.score,
            served=self._serving.note(recognizer.name, [line.answer], task, began),
        )

    def read(self, request: ReadPages, task: TaskContext) -> Steps[ReadDocument]:
        """Every line of every page, in reading order."""
        pages = []
        with self._pages.load_pages(request.image, request.pages) as document:
            for page in document:
                read = yield from self._read_page(page, request, task)
                pages.append(read)
            count = document.page_count
        return ReadDocument(input_path=request.image.input_path, page_count=count, pages=tuple(pages))

    def _read_page(self, page: PageImage, request: ReadPages, task: TaskContext) -> Steps[Page]:
        began = time.perf_counter()
        task.check()
        recognizer = self._recognizer(request.recognition_model)
        found = yield from self._detect_lines(page.image, request.detection_model, task)
        crops = [crop_line(page.image, polygon) for polygon, _ in found]
        suspects: list[int] = []
        if request.orientation:
            suspects = yield from self._find_upside_down(crops, task)
        lines, angles = yield from self._read_lines(recognizer, crops, suspects, task)
        kept = [i for i, line in enumerate(lines) if line.text and line.score >= request.min_score]
        height, width = page.image.shape[:2]
        return Page(
            input_path=request.image.input_path,
            page_index=page.page_index,
            width=width,
            height=height,
            dt_polys=tuple(_to_corners(found[i][0]) for i in kept),
            dt_scores=tuple(found[i][1] for i in kept),
            rec_texts=tuple(lines[i].text for i in kept),
            rec_scores=tuple(lines[i].score for i in kept),
            angles=tuple(angles[i] for i in kept),
            served=self._serving.note(recognizer.name, [line.answer for line in lines], task, began),
        )

    def _detect_lines(
        self, image: Image, name: str | None, task: TaskContext
    ) -> Steps[list[tuple[Polygon, float]]]:
        detector = choose_model(self._models.detection, name, "text detection")
        waiting = self._batcher.submit(detector.name, detector.preprocess(image), task)
        yield
        height, width = image.shape[:2]
        found = [
            (polygon, score)
            for polygon, score in detector.postprocess(waiting.result().outputs, width, height)
            if _thickness(polygon) >= MIN_CROP
        ]
        return [found[i] for i in reading_order([polygon for polygon, _ in found])]

    def _find_upside_down(self, crops: Sequence[Image], task: TaskContext) -> Steps[list[int]]:
        """The crops that may stand upside down.

        They are read both ways, and the better reading counts: the classifier is sometimes sure and wrong,
        and a good line that is turned is lost.
        """
        model = self._models.orientation
        if model is None or not crops:
            return []
        waiting = [self._batcher.submit(model.name, model.preprocess(each), task) for each in crops]
        yield
        return [i for i, each in enumerate(waiting) if model.postprocess(each.result().outputs)[0] == 180]

    def _read_lines(
        self,
        recognizer: TextRecognition,
        crops: Sequence[Image],
        suspects: Sequence[int],
        task: TaskContext,
    ) -> Steps[tuple[list[_Line], list[int]]]:
        """Each crop's line and the angle by which it was turned; `suspects` are read both ways."""
        waiting = [self._submit(recognizer, each, task) for each in crops]
        turned = {i: self._submit(recognizer, _turn_over(crops[i]), task) for i in suspects}
        if waiting:
            yield
        lines = [_read_line(recognizer, each.result()) for each in waiting]
        angles = [0] * len(lines)
        for i, each in turned.items():
            line = _read_line(recognizer, each.result())
            if line.score > lines[i].score:
                lines[i], angles[i] = line, 180
        return lines, angles

    def _recognizer(self, name: str | None) -> TextRecognition:
        return choose_model(self._models.recognition, name, "text recognition")

    def _submit_stored(
        self, recognizer: TextRecognition, request: RecognizeText, task: TaskContext
    ) -> "tuple[int | None, Future[Answer]]":
        """The page index and the coming answer; the decoded picture is released here."""
        page = self._lines.load(request.image, request.page_index)
        return page.page_index, self._submit(recognizer, page.image, task)

    def _submit(self, model: TextRecognition, image: Image, task: TaskContext) -> "Future[Answer]":
        return self._batcher.submit(model.name, model.preprocess(image), task)


def _turn_over(crop: Image) -> Image:
    return np.ascontiguousarray(np.rot90(crop, 2))


def _read_line(model: TextRecognition, answer: Answer) -> _Line:
    text, score = model.postprocess(answer.outputs)
    return _Line(text=text, score=score, answer=answer)


def _to_corners(polygon: Polygon) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in polygon)


def _thickness(polygon: Polygon) -> float:
    return float(min(np.linalg.norm(polygon[0] - polygon[1]), np.linalg.norm(polygon[1] - polygon[2])))
