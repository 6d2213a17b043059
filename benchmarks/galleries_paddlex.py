"""PaddleX's own store, measured in an environment that has paddlex and faiss; nothing of ours is imported.

    python benchmarks/galleries_paddlex.py DATA INDEX_TYPE REPEATS

DATA holds rows.npy and queries.npy. `append` and `remove` are what a user of the folder does: load, change,
save. `serving_append` is what its server does for every request: unpickle, change, pickle, write. The
embeddings are given to it ready-made, so that no model runs. The index is built by all cores, the rest by one
thread. Prints what is known so far as JSON, after each figure a line.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any


def main(data: Path, index_type: str, repeats: int) -> None:
    """Every figure that the benchmark compares; times are medians in seconds."""
    import faiss
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

    figures: dict[str, Any] = {}

    def tell(**known: Any) -> None:
        figures.update(known)
        print(json.dumps(figures), flush=True)

    tell(engine=f"paddlex {index_type}")
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    start = time.perf_counter()
    index = FaissBuilder.build(rows, labels(len(rows)), embed, "IP", index_type)
    tell(build=time.perf_counter() - start)
    faiss.omp_set_num_threads(1)
    indexer = FaissIndexer(index)
    each = iter(range(len(queries)))  # another query each time, as the other engines are asked

    def search(count: int) -> Any:
        first = next(each) * count % (len(queries) - count)
        return indexer(queries[first : first + count], -9, None, 10)

    tell(search_1=timed(lambda: search(1), 200))
    tell(search_16=timed(lambda: search(16), 30))
    asked = queries[:500] if len(rows) > 200_000 else queries
    _, found = indexer._indexer.search(asked, 10)
    hits = [len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=False)]
    tell(recall_1=float(np.mean(found[:, 0] == exact[: len(found), 0])), recall_10=float(np.mean(hits)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gallery"
        index.save(str(folder))
        tell(disk_bytes=sum(path.stat().st_size for path in folder.iterdir()))

        def append(count: int) -> None:
            FaissBuilder.append(queries[:count], labels(count), embed, str(folder)).save(str(folder))

        def serve() -> None:
            blob = Path(name) / "blob"
            held = type(index).from_bytes(blob.read_bytes())
            blob.write_bytes(FaissBuilder.append(queries[:1], labels(1), embed, held).to_bytes())

        (Path(name) / "blob").write_bytes(index.to_bytes())
        tell(serving_append_1=timed(serve))
        tell(append_1=timed(lambda: append(1)))
        if index_type != "HNSW32":
            last = len(rows) - 1
            tell(remove=timed(lambda: FaissBuilder.remove([last], str(folder)).save(str(folder)), 1))
        tell(append_100=timed(lambda: append(100)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
