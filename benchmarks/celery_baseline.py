"""Celery without Paddlewheel's worker, on the same model, images and messages.

    python -m benchmarks.celery_baseline --broker URL --how single|batches ...

Answers `ocr.recognize` as Paddlewheel does, with its decoding, preparation and network, so that only the
queue differs. `single` is one line a task, `batches` is celery-batches (found on PYTHONPATH).
"""

import argparse
import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from celery import Celery
from celery.signals import worker_ready
from kombu import Exchange, Queue
from numpy.typing import NDArray

from benchmarks.fixed_time_worker import FixedTime
from paddlewheel import RECOGNIZE_TEXT
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.text import RecognizeText
from workers.images.loading import LINE_LIMITS, decode
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome

MODEL: Final = "PP-OCRv4_mobile_rec"


class Runs(Protocol):
    """The network, or a stand-in."""

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer one batch."""


class Reader:
    """A model in this process; made at its first use, so that each process of a pool has its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._lock = threading.Lock()
        self._network: Runs | None = None
        self._blobs: BlobStore | None = None
        self._recognizer: TextRecognition | None = None

    def read(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of requests, in order; equally shaped lines are one batch."""
        network, blobs, recognizer = self._parts()
        refs = [RecognizeText.model_validate(each).image for each in requests]
        pictures = blobs.get_many(refs)
        groups: dict[tuple[int, ...], list[tuple[int, NDArray[Any]]]] = defaultdict(list)
        for place, data in enumerate(pictures):
            assert isinstance(data, bytes)
            (tensor,) = recognizer.preprocess(decode(data, LINE_LIMITS))
            groups[tensor.shape].append((place, tensor))
        answers: list[dict[str, Any]] = [{}] * len(refs)
        for same in groups.values():
            with self._lock:
                outputs = network.forward(np.stack([tensor for _, tensor in same]))
            for row, (place, _) in enumerate(same):
                text, score = recognizer.postprocess(tuple(output[row] for output in outputs))
                answers[place] = {"rec_text": text, "rec_score": score}
        return answers

    def _parts(self) -> tuple[Runs, BlobStore, TextRecognition]:
        with self._lock:
            if self._network is None or self._blobs is None or self._recognizer is None:
                directory = ModelHome(self._given.home).open(MODEL)
                options = SessionOptions(engine=self._given.engine, threads=self._given.threads)
                real = not self._given.fixed_time
                self._network = Network(directory, options) if real else FixedTime()
                self._recognizer = TextRecognition.open(directory)
                self._blobs = open_blob_store(self._given.broker, ttl=3600, max_bytes=1 << 25)
        return self._network, self._blobs, self._recognizer


def make_app(given: argparse.Namespace) -> Celery:
    """An app as Celery's and celery-batches' own pages set one up, with JSON and late acknowledgement."""
    app = Celery("baseline", broker=given.broker, backend=given.broker)
    queue = RECOGNIZE_TEXT.queue
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_acks_late=True,
        task_queues=[Queue(queue, Exchange(queue), routing_key=queue)],
        # Enough for the next batch to gather while one runs.
        worker_prefetch_multiplier=2 * given.batch_size if given.how == "batches" else 4,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    reader = Reader(given)
    if given.how == "single":

        def one(request: dict[str, Any]) -> dict[str, Any]:
            return reader.read([request])[0]

        app.task(name=RECOGNIZE_TEXT.name)(one)
        return app
    batches = importlib.import_module("celery_batches")

    def many(requests: Sequence[Any]) -> None:
        answers = reader.read([each.args[0] for each in requests])
        for each, answer in zip(requests, answers, strict=True):
            app.backend.mark_as_done(each.id, answer, request=each)

    register: Any = app.task(
        name=RECOGNIZE_TEXT.name,
        base=batches.Batches,
        flush_every=given.batch_size,
        flush_interval=given.flush_interval,
    )
    register(many)
    return app


def main() -> None:
    """Take tasks until SIGTERM; `--ready` is made when it does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_baseline", description=__doc__)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--how", choices=("single", "batches"), required=True)
    parser.add_argument("--pool", choices=("threads", "prefork"), default="threads")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--flush-interval", type=float, default=0.05)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fixed-time", action="store_true", help="20 ms a batch instead of a network")
    parser.add_argument("--ready", type=Path, required=True)
    given = parser.parse_args()
    app = make_app(given)
    worker_ready.connect(lambda **_: given.ready.write_text(str(time.time())), weak=False)
    worker = app.Worker(
        pool=given.pool,
        concurrency=given.concurrency,
        queues=[RECOGNIZE_TEXT.queue],
        loglevel="ERROR",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()


if __name__ == "__main__":
    main()
