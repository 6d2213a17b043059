"""Lines and pages through the batcher, with models that need no weights."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.results import Served
from paddlewheel.contracts.text import Page, ReadDocument, ReadPages, RecognizeText
from paddlewheel.errors import ImageCorrupt, PaddlewheelError
from tasks.batched import load_batched_tasks
from tasks.context import TaskContext
from tasks.steps import run, run_each
from tests.data.pdfs import PdfPage, pdf
from tests.data.pictures import png_of_zeros
from tests.doubling_host import DoublingHost
from workers.images.loading import ImageLoader
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.services.serving import ServingNotes
from workers.services.text import BatchedTextReader, TextModels

TASK = TaskContext(task_id="t")
LINES = [np.array([[4, y], [60, y], [60, y + 8], [4, y + 8]], np.float32) for y in (4, 24)]
THIN = np.array([[4, 50], [60, 50], [60, 51], [4, 51]], np.float32)


class Detector:
    """Finds two lines on every page, and one that is too thin."""

    name = "detector"

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        return (np.zeros((1, image.shape[0]), np.float32),)

    def postprocess(self, *_: Any) -> list[tuple[NDArray[np.float32], float]]:
        return [(LINES[1], 0.8), (LINES[0], 0.9), (THIN, 0.9)]


class Orientation:
    """Suspects every line."""

    name = "orientation"

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        del image
        return (np.ones((1, 1), np.float32),)

    def postprocess(self, outputs: Sequence[NDArray[Any]]) -> tuple[int, float]:
        del outputs
        return 180, 0.9


class Recognizer:
    """Reads better what is submitted later."""

    name = "recognizer"

    def __init__(self) -> None:
        self._submitted = 0

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32]]:
        del image
        self._submitted += 1
        return (np.full((1, 1), self._submitted, np.float32),)

    def postprocess(self, outputs: Sequence[NDArray[Any]]) -> tuple[str, float]:
        number = float(outputs[0].flat[0]) / 2
        return f"line {number:.0f}", number / 1000


class Reader:
    def __init__(self, orientation: Orientation | None = None) -> None:
        self.host = DoublingHost()
        self.blobs = MemoryBlobStore()
        self._batcher = DynamicBatcher([self.host], BatchingOptions(max_batch_size=16, max_wait_time=0.05))
        self._images = ImageLoader(self.blobs)
        recognizer: Any = Recognizer()
        detector: Any = Detector()
        turned: Any = orientation
        names = ("recognizer", "detector", "orientation")
        self.text = BatchedTextReader(
            models=TextModels(
                recognition={"recognizer": recognizer}, detection={"detector": detector}, orientation=turned
            ),
            serving=ServingNotes({name: Served(model=name, engine="e", device="cpu") for name in names}),
            batcher=self._batcher,
            lines=self._images,
            pages=self._images,
        )

    def put(self, data: bytes) -> ImageRef:
        return ImageRef(blob=self.blobs.put(data).blob, input_path="p")

    def batches(self, model: str) -> list[int]:
        return [len(values) for name, values in self.host.batches if name == model]

    def close(self) -> None:
        self._batcher.close()
        self._images.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader(Orientation())
    yield made
    made.close()


def test_the_pages_of_many_documents_meet_in_the_batcher(reader: Reader) -> None:
    requests = [ReadPages(image=reader.put(png_of_zeros(80, 60)), min_score=0)] * 4
    results = list(run_each(reader.text.read(request, TASK) for request in requests))
    assert all(isinstance(each, ReadDocument) for each in results)
    assert reader.batches("detector") == [4]
    assert reader.batches("orientation") == [8]
    assert reader.batches("recognizer") == [16]


def test_documents_of_a_batch_job_run_several_at_once() -> None:
    assert load_batched_tasks()["ocr.read"].at_once > 1


def test_a_document_that_cannot_be_read_leaves_its_companions_alone(reader: Reader) -> None:
    requests = [ReadPages(image=reader.put(data), min_score=0) for data in (png_of_zeros(80, 60), b"%PNG")]
    good, bad = run_each(reader.text.read(request, TASK) for request in requests)
    assert isinstance(good, ReadDocument)
    assert isinstance(bad, PaddlewheelError)


def test_a_suspect_line_is_read_both_ways_and_the_better_reading_counts(reader: Reader) -> None:
    document = run(reader.text.read(ReadPages(image=reader.put(png_of_zeros(80, 60)), min_score=0), TASK))
    (page,) = document.pages
    assert page.rec_texts == ("line 3", "line 4")
    assert page.angles == (180, 180)
    assert page.dt_scores == pytest.approx((0.9, 0.8))
    assert page.served is not None
    assert (page.served.model, page.served.batch_size) == ("recognizer", 4)


def test_without_orientation_each_line_is_read_once(reader: Reader) -> None:
    request = ReadPages(image=reader.put(png_of_zeros(80, 60)), min_score=0.002, orientation=False)
    (page,) = run(reader.text.read(request, TASK)).pages
    assert page.rec_texts == ("line 2",)
    assert page.angles == (0,)


def test_the_pages_of_a_pdf_come_in_order(reader: Reader) -> None:
    request = ReadPages(image=reader.put(pdf(PdfPage(), PdfPage())), min_score=0)
    document = run(reader.text.read(request, TASK))
    assert document.page_count == 2
    assert [page.page_index for page in document] == [0, 1]
    assert all(isinstance(page, Page) for page in document)


def test_lines_meet_in_the_batcher_and_keep_their_own_errors(reader: Reader) -> None:
    images = [png_of_zeros(40, 20), b"\x89PNG\r\n\x1a\n", png_of_zeros(50, 20)]
    requests = [RecognizeText(image=reader.put(data)) for data in images]
    first, second, third = run_each(reader.text.recognize(request, TASK) for request in requests)
    assert not isinstance(first, PaddlewheelError)
    assert (first.rec_text, first.input_path) == ("line 1", "p")
    assert isinstance(second, ImageCorrupt)
    assert not isinstance(third, PaddlewheelError)
    assert third.served is not None
    assert third.served.batch_size == 2
