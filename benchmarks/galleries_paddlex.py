"""PaddleX's own store, measured in an environment that has paddlex and faiss; nothing of ours is imported.

    python benchmarks/galleries_paddlex.py DATA INDEX_TYPE REPEATS

DATA holds rows.npy and queries.npy. `append` and `remove` are what a user of the folder does: load, change,
save. `serving_append` is what its server does for every request: unpickle, change, pickle, write. The
embeddings are given to it ready-made, so that no model runs.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any


def main(data: Path, index_type: str, repeats: int) -> dict[str, Any]:
    """Every figure that the benchmark compares; times are medians in seconds."""
    import numpy as np
    from paddlex.inference.pipelines.components.faisser import FaissBuilder, FaissIndexer

    rows, queries = np.load(data / "rows.npy"), np.load(data / "queries.npy")
    exact = np.load(data / "exact.npy")

    def embed(images: Any) -> list[dict[str, Any]]:
        return [{"feature": image} for image in images]

    def labels(count: int, start: int = 0) -> list[str]:
        return [f"person {number // 5}" for number in range(start, start + count)]

    def timed(work: Any, times: int = repeats) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        return median(taken)

    figures: dict[str, Any] = {"engine": f"paddlex {index_type}"}
    start = time.perf_counter()
    index = FaissBuilder.build(rows, labels(len(rows)), embed, "IP", index_type)
    figures["build"] = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gallery"
        index.save(str(folder))
        figures["disk_bytes"] = sum(path.stat().st_size for path in folder.iterdir())

        def append(count: int) -> None:
            FaissBuilder.append(queries[:count], labels(count), embed, str(folder)).save(str(folder))

        def serve() -> None:
            blob = Path(name) / "blob"
            held = type(index).from_bytes(blob.read_bytes())
            blob.write_bytes(FaissBuilder.append(queries[:1], labels(1), embed, held).to_bytes())

        indexer = FaissIndexer(str(folder))
        figures["search_1"] = timed(lambda: indexer(queries[:1], -9, None, 10), 200)
        figures["search_16"] = timed(lambda: indexer(queries[:16], -9, None, 10), 30)
        _, found = indexer._indexer.search(queries, 10)
        figures["recall_1"] = float(np.mean(found[:, 0] == exact[:, 0]))
        hits = [len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        figures["recall_10"] = float(np.mean(hits))
        figures["append_1"] = timed(lambda: append(1))
        figures["append_100"] = timed(lambda: append(100))
        (Path(name) / "blob").write_bytes(index.to_bytes())
        figures["serving_append_1"] = timed(serve)
        if index_type != "HNSW32":
            figures["remove"] = timed(
                lambda: FaissBuilder.remove([len(rows) - 1], str(folder)).save(str(folder)), 1
            )
    return figures


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
