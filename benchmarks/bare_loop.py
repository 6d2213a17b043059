"""The engine in a bare loop: what one process can read when there is no queue, no client and no other caller.

Run by `benchmarks.throughput` in a process of its own, so that thread pools are sized as in a worker.
Prints JSON: for each batch size, lines per second of the network alone (tensors ready, grouped by shape) and
of the whole loop (decode, preprocess, network, postprocess); with --in-order also of both in the order of the
files, with batches of equal shape from among `WINDOW` lines at a time, as a queue gets them.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.images.loading import LINE_LIMITS, decode
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome

Tensor = NDArray[np.float32]
T = TypeVar("T")

WINDOW: Final = 16
"""Tasks that a worker has at a time, by default."""


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
    parser.add_argument("--in-order", action="store_true", help="also in the order of the files")
    given = parser.parse_args()
    directory = ModelHome(given.home).open(given.model)
    network = Network(directory, SessionOptions(engine=given.engine, threads=given.threads))
    recognizer = TextRecognition.open(directory, width_step=given.width_step)
    pictures = [path.read_bytes() for path in sorted(given.folder.glob("*.png"))]
    report: dict[str, Any] = {"engine": network.engine, "lines": len(pictures), "by_batch_size": {}}
    for size in map(int, given.batch_sizes.split(",")):
        speeds = measure(network, recognizer, pictures, size, given.repeats)
        if given.in_order:
            ordered = measure(network, recognizer, pictures, size, given.repeats, window=WINDOW)
            speeds |= {f"{name}_in_order": speed for name, speed in ordered.items()}
        report["by_batch_size"][size] = speeds
    print(json.dumps(report))


def measure(
    network: Network,
    recognizer: TextRecognition,
    pictures: Sequence[bytes],
    size: int,
    repeats: int,
    *,
    window: int | None = None,
) -> dict[str, float]:
    """Best lines per second of both loops; batches are found among all lines, or among `window` at a time."""
    tensors = [recognizer.preprocess(decode(picture, LINE_LIMITS))[0] for picture in pictures]
    batches = [np.stack(batch) for part in parts(tensors, window) for batch in grouped(part, size)]

    def forward_only() -> None:
        for batch in batches:
            network.forward(batch)

    def whole_loop() -> None:
        for part in parts(pictures, window):
            prepared = [recognizer.preprocess(decode(picture, LINE_LIMITS))[0] for picture in part]
            for batch in grouped(prepared, size):
                outputs = network.forward(np.stack(batch))
                for row in range(len(batch)):
                    recognizer.postprocess(tuple(output[row] for output in outputs))

    return {
        "network": len(pictures) / best_time(forward_only, repeats),
        "loop": len(pictures) / best_time(whole_loop, repeats),
    }


def parts(lines: Sequence[T], window: int | None) -> Iterator[Sequence[T]]:
    """The lines so many at a time; all at once without a window."""
    for start in range(0, len(lines), window or len(lines)):
        yield lines[start : start + (window or len(lines))]


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
