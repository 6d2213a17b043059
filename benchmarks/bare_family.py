"""A model family in a bare loop: pictures a second of one process without a queue or other callers.

Run by `benchmarks.families` in a process of its own, so that thread pools are sized as in a worker. Prints
JSON.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_loop import best_time
from workers.face_finding import FaceDetector, cut_out, open_detector
from workers.images import PAGE_LIMITS, Image, decode
from workers.models.home import ModelHome
from workers.models.image_classification import ImageClassification
from workers.models.image_feature import ImageFeature
from workers.models.network import Network
from workers.models.session import SessionOptions

Outputs = tuple[NDArray[Any], ...]
Tensors = tuple[NDArray[Any], ...]


class BareFamilies:
    """What a worker does with a picture, without what is around it."""

    def __init__(self, home: ModelHome, options: SessionOptions, size: int) -> None:
        self._home = home
        self._options = options
        self._size = size

    def network(self, model: str) -> Network:
        """The engine of a model."""
        return Network(self._home.open(model), self._options)

    def feature(self, model: str) -> Callable[[Sequence[bytes]], None]:
        """Pictures to embeddings."""
        network, half = self.network(model), ImageFeature.open(self._home.open(model))

        def loop(pictures: Sequence[bytes]) -> None:
            tensors = [half.preprocess(decode(picture, PAGE_LIMITS)) for picture in pictures]
            for _, outputs in run(network, tensors, self._size):
                half.postprocess(outputs)

        return loop

    def classes(self, model: str) -> Callable[[Sequence[bytes]], None]:
        """Pictures to classes."""
        network, half = self.network(model), ImageClassification.open(self._home.open(model))

        def loop(pictures: Sequence[bytes]) -> None:
            tensors = [half.preprocess(decode(picture, PAGE_LIMITS)) for picture in pictures]
            for _, outputs in run(network, tensors, self._size):
                half.postprocess(outputs)
                half.class_probs(outputs)

        return loop

    def faces(self, detector_name: str, embedder_name: str | None) -> Callable[[Sequence[bytes]], None]:
        """Pictures to faces, and to their embeddings where an embedder is named."""
        detector = open_detector(self._home.open(detector_name))
        network = self.network(detector_name)
        embedder = embedder_name and self.network(embedder_name)
        half = embedder_name and ImageFeature.open(self._home.open(embedder_name))

        def loop(pictures: Sequence[bytes]) -> None:
            images = [decode(picture, PAGE_LIMITS) for picture in pictures]
            cuts = list(self._cuts(network, detector, images))
            if embedder and half:
                for _, outputs in run(embedder, [half.preprocess(cut) for cut in cuts], self._size):
                    half.postprocess(outputs)

        return loop

    def _cuts(self, network: Network, detector: FaceDetector, images: Sequence[Image]) -> Iterator[Image]:
        tensors = [detector.preprocess(image) for image in images]
        for index, outputs in run(network, tensors, self._size):
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


def main() -> None:
    """Measure and print: pictures a second at each batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("feature", "classes", "detect", "embed"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--embedder")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(given.folder.iterdir())]
    speeds = {}
    for size in map(int, given.batch_sizes.split(",")):
        options = SessionOptions(engine=given.engine, threads=given.threads)
        bare = BareFamilies(ModelHome(given.home), options, size)
        match given.kind:
            case "feature":
                loop = bare.feature(given.model)
            case "classes":
                loop = bare.classes(given.model)
            case _:
                loop = bare.faces(given.model, given.embedder)
        work = loop
        speeds[size] = len(pictures) / best_time(lambda work=work: work(pictures), given.repeats)  # type: ignore[misc]
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
