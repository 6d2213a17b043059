"""`python -m benchmarks`: lists and runs the benchmarks."""

import runpy
import sys
from typing import Final

BENCHMARKS: Final = {
    "parity": "answers and scores against PaddleX 3.7.2 on the same weights",
    "accuracy": "exact lines, errors and reading order by kind of page, beside rapidocr and faster-paddle",
    "throughput": "lines per second through the queue, the bare engine loop, PaddleX's predict",
    "queue": "latencies and lines per second through the queue, beside Celery alone, celery-batches, PaddleX",
    "neighbours": "whether a line's answer depends on the lines it is batched with",
    "broker_restarts": "what it costs when the broker is killed and restarted under load",
    "crosstalk": "whether an answer ever reaches another caller, also while processes are killed",
    "families": "pictures per second of each family through the queue, the bare loop, PaddleX's predict",
    "identify": "where the time of naming a face among 100,000 goes, beside PaddleX's pipeline",
    "faces": "whether people are distinguished by their faces, aligned and cropped by their box",
    "batch": "whether a long batch job's result is whole and in order, whatever is killed on the way",
    "serving": "naming a face over HTTP by 1, 8 and 64 callers, beside PaddleX's basic serving",
    "galleries": "appends and searches beside raw FAISS, PaddleX's store, pgvector, usearch and hnswlib",
}


def main() -> None:
    """Run the named benchmarks, or all of them, with their defaults."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print("python -m benchmarks [NAME ...]\n")
        for name, what in BENCHMARKS.items():
            print(f"  {name:12} {what}")
        print("\nEach one alone takes options: python -m benchmarks.NAME --help")
        return
    unknown = set(sys.argv[1:]) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}.")
    failed: list[str] = []
    for name in sys.argv[1:] or BENCHMARKS:
        sys.argv[1:] = []
        print(f"== {name}: {BENCHMARKS[name]}", flush=True)
        try:
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        except SystemExit as done:
            failed.extend([name] if done.code else [])
    if failed:
        sys.exit(f"These benchmarks failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
