"""A model family in a bare loop: one process with pictures, without a queue, a client or other callers.

`benchmarks.families` runs it as a child, so that thread pools are sized as in a worker. For each input line
`SIZE SECONDS` it prints, as JSON, pictures per second at that batch size and CPU milliseconds per picture.
"""

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.images.loading import PAGE_LIMITS, Image, decode
from workers.models.engines.session import SessionOptions
from workers.models.families.image_classification import ImageClassification
from workers.models.families.image_feature import ImageFeature
from workers.models.families.network import Network
from workers.models.home.home import ModelHome
from workers.services.face_finding import FaceDetector, cut_out, open_detector

AT_ONCE: Final = 32
"""Pictures decoded before their batches run, as one task of many holds them."""

Outputs = tuple[NDArray[Any], ...]
Tensors = tuple[NDArray[Any], ...]
Loop = Callable[[Sequence[bytes], int], None]
"""Answers pictures in batches of at most that size."""


class BareFamilies:
    """A worker's processing of a picture, without the queue around it."""

    def __init__(self, home: ModelHome, threads: int) -> None:
        self._home = home
        self._threads = threads

    def network(self, model: str, engine: str) -> Network:
        """The engine of a model."""
        options = SessionOptions(engine=engine, threads=self._threads)  # type: ignore[arg-type]
        return Network(self._home.open(model), options)

    def feature(self, model: str, engine: str) -> Loop:
        """Pictures to embeddings."""
        network, half = self.network(model, engine), ImageFeature.open(self._home.open(model))

        def loop(pictures: Sequence[bytes], size: int) -> None:
            tensors = [half.preprocess(decode(picture, PAGE_LIMITS)) for picture in pictures]
            for _, outputs in run(network, tensors, size):
                half.postprocess(outputs)

        return loop

    def classes(self, model: str, engine: str) -> Loop:
        """Pictures to classes."""
        network, half = self.network(model, engine), ImageClassification.open(self._home.open(model))

        def loop(pictures: Sequence[bytes], size: int) -> None:
            tensors = [half.preprocess(decode(picture, PAGE_LIMITS)) for picture in pictures]
            for _, outputs in run(network, tensors, size):
                half.postprocess(outputs)

        return loop

    def faces(self, detector_name: str, engine: str, embedder: tuple[str, str] | None) -> Loop:
        """Pictures to faces, and to their embeddings where an embedder and its engine are named."""
        detector = open_detector(self._home.open(detector_name))
        network = self.network(detector_name, engine)
        features = embedder and self.network(*embedder)
        half = embedder and ImageFeature.open(self._home.open(embedder[0]))

        def loop(pictures: Sequence[bytes], size: int) -> None:
            images = [decode(picture, PAGE_LIMITS) for picture in pictures]
            cuts = list(self._cuts(network, detector, images, size))
            if features and half:
                for _, outputs in run(features, [half.preprocess(cut) for cut in cuts], size):
                    half.postprocess(outputs)

        return loop

    def _cuts(
        self, network: Network, detector: FaceDetector, images: Sequence[Image], size: int
    ) -> Iterator[Image]:
        tensors = [detector.preprocess(image) for image in images]
        for index, outputs in run(network, tensors, size):
            for face in detector.faces(outputs, images[index], None):
                yield cut_out(images[index], face, 150)


def run(network: Network, items: Sequence[Tensors], size: int) -> Iterator[tuple[int, Outputs]]:
    """Every item's index and outputs, in batches of equal shape and at most `size`."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, tensors in enumerate(items):
        by_shape[tensors[0].shape].append(index)
    for same in by_shape.values():
        for start in range(0, len(same), size):
            part = same[start : start + size]
            outputs = network.forward(*map(np.stack, zip(*(items[index] for index in part), strict=True)))
            for row, index in enumerate(part):
                yield index, tuple(output[row] for output in outputs)


def measured(loop: Loop, pictures: Sequence[bytes], size: int, seconds: float) -> dict[str, float]:
    """Pictures a second, and CPU milliseconds a picture, of a run of at least that long."""
    rest = itertools.cycle(pictures)
    count, cpu, began = 0, time.process_time(), time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        loop(list(itertools.islice(rest, AT_ONCE)), size)
        count += AT_ONCE
    return {"speed": count / elapsed, "cpu_ms": (time.process_time() - cpu) * 1000 / count}


def main() -> None:
    """Answer input lines until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("feature", "classes", "faces"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--model", nargs=2, required=True, metavar=("NAME", "ENGINE"))
    parser.add_argument("--embedder", nargs=2, metavar=("NAME", "ENGINE"))
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(given.folder.iterdir())]
    bare = BareFamilies(ModelHome(given.home), given.threads)
    match given.kind:
        case "feature":
            loop = bare.feature(*given.model)
        case "classes":
            loop = bare.classes(*given.model)
        case _:
            name, engine = given.model
            loop = bare.faces(name, engine, given.embedder and tuple(given.embedder))
    for line in sys.stdin:
        size, seconds = line.split()
        print(json.dumps(measured(loop, pictures, int(size), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
