"""The engine in a bare loop: what one process can read when there is no queue, no client and no other caller.

Run by `benchmarks.throughput` in a process of its own, so that thread pools are sized as in a worker.
Prints JSON: for each batch size, lines per second of the network alone (tensors ready, grouped by shape) and
of the whole loop (decode, preprocess, network, postprocess).
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.images import LINE_LIMITS, decode
from workers.models.home import ModelHome
from workers.models.network import Network
from workers.models.session import SessionOptions
from workers.models.text_recognition import TextRecognition

Tensor = NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="PNG lines")
    parser.add_argument("--home", type=Path, required=True, help="the model home")
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--width-step", type=int, required=True)
    parser.add_argument("--batch-sizes", default="1,4,8,16,32")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    directory = ModelHome(given.home).open(given.model)
    network = Network(directory, SessionOptions(engine=given.engine, threads=given.threads))
    recognizer = TextRecognition.open(directory, width_step=given.width_step)
    pictures = [path.read_bytes() for path in sorted(given.folder.glob("*.png"))]
    report: dict[str, Any] = {"engine": network.engine, "lines": len(pictures), "by_batch_size": {}}
    for size in map(int, given.batch_sizes.split(",")):
        report["by_batch_size"][size] = measure(network, recognizer, pictures, size, given.repeats)
    print(json.dumps(report))


def measure(
    network: Network, recognizer: TextRecognition, pictures: Sequence[bytes], size: int, repeats: int
) -> dict[str, float]:
    """Best lines per second of both loops."""
    tensors = [recognizer.preprocess(decode(picture, LINE_LIMITS)) for picture in pictures]
    batches = [np.stack(batch) for batch in grouped(tensors, size)]

    def forward_only() -> None:
        for batch in batches:
            network.forward(batch)

    def whole_loop() -> None:
        prepared = [recognizer.preprocess(decode(picture, LINE_LIMITS)) for picture in pictures]
        for batch in grouped(prepared, size):
            outputs = network.forward(np.stack(batch))
            for row in range(len(batch)):
                recognizer.postprocess(tuple(output[row] for output in outputs))

    return {
        "network": len(pictures) / best_time(forward_only, repeats),
        "loop": len(pictures) / best_time(whole_loop, repeats),
    }


def grouped(tensors: Sequence[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Batches of equal shape, at most `size` items in each: the best case of the batcher."""
    by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        by_shape[tensor.shape].append(tensor)
    for same in by_shape.values():
        for start in range(0, len(same), size):
            yield same[start : start + size]


def best_time(work: Callable[[], None], repeats: int) -> float:
    """Seconds of the fastest run after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
