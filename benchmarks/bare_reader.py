"""The text services of a worker without its queue: every model runs in this process, at once."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.results import Served
from paddlewheel.contracts.text import ReadPages
from paddlewheel.errors import PaddlewheelError
from tasks.context import TaskContext
from tasks.steps import run
from workers.images.loading import LINE_LIMITS, PAGE_LIMITS, ImageLoader
from workers.inference.batching import DynamicBatcher
from workers.inference.items import Answer
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.families.text_detection import TextDetection
from workers.models.families.text_orientation import TextOrientation
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome
from workers.services.serving import ServingNotes
from workers.services.text import BatchedTextReader, TextModels

ORIENTATION = "ch_ppocr_mobile_v2.0_cls"


class InlineBatcher:
    """Stands where the batcher does, and answers each item before `submit` returns."""

    def __init__(self, networks: dict[str, Network]) -> None:
        self._networks = networks

    def submit(self, model: str, tensors: tuple[NDArray[Any], ...], _: TaskContext) -> "Future[Answer]":
        """One item through the network."""
        began = time.perf_counter()
        outputs = self._networks[model].forward(*(each[np.newaxis] for each in tensors))
        answer = Answer(
            outputs=tuple(output[0] for output in outputs),
            batch_size=1,
            batch_wait_ms=0.0,
            model_ms=(time.perf_counter() - began) * 1000,
        )
        future: Future[Answer] = Future()
        future.set_result(answer)
        return future


class BareReader:
    """Pages to lines, as `ocr.read` answers them."""

    def __init__(self, home: Path, detection: str, recognition: str, options: SessionOptions) -> None:
        """Load the models. Raises ModelUnknown, ModelUnavailable."""
        directories = {name: ModelHome(home).open(name) for name in (detection, recognition, ORIENTATION)}
        networks = {name: Network(directory, options) for name, directory in directories.items()}
        self._blobs = MemoryBlobStore()
        self.reader = BatchedTextReader(
            models=TextModels(
                recognition={recognition: TextRecognition.open(directories[recognition])},
                detection={detection: TextDetection.open(directories[detection])},
                orientation=TextOrientation.open(directories[ORIENTATION]),
            ),
            serving=ServingNotes(
                {
                    name: Served(model=name, engine=network.engine, device=network.device)
                    for name, network in networks.items()
                }
            ),
            batcher=cast(DynamicBatcher, InlineBatcher(networks)),
            lines=ImageLoader(self._blobs, LINE_LIMITS),
            pages=ImageLoader(self._blobs, PAGE_LIMITS),
        )

    def put(self, data: bytes) -> ImageRef:
        """Store a picture or a PDF."""
        stored = self._blobs.put(data)
        return ImageRef(blob=stored.blob, expires_at=stored.expires_at)

    def read(self, data: bytes) -> Sequence[str]:
        """The lines of all pages, in the order of the answer. Raises PaddlewheelError."""
        document = run(self.reader.read(ReadPages(image=self.put(data)), TaskContext(task_id="accuracy")))
        return [line for page in document.pages for line in page.rec_texts]

    def lines_or_error(self, data: bytes) -> tuple[Sequence[str], str | None]:
        """The lines, or none and the code of the error."""
        try:
            return self.read(data), None
        except PaddlewheelError as err:
            return (), err.code
