"""PaddleX's own face features and search on ready cuts; run by its interpreter, nothing of ours is imported.

    python benchmarks/identify_paddlex.py DATA

DATA holds rows.npy, and job.json: the paths of the faces that were cut out, the labels of the rows, the
model's directory, and the name that PaddleX takes it by.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(data: Path) -> dict[str, Any]:
    """Seconds of the model and of the search for each cut, and the best label of each."""
    import cv2
    import numpy as np
    from paddlex import create_model  # type: ignore[import-not-found,unused-ignore]
    from paddlex.inference.pipelines.components.faisser import (  # type: ignore[import-not-found,unused-ignore]
        FaissBuilder,
        FaissIndexer,
    )

    job = json.loads((data / "job.json").read_text())
    rows = np.load(data / "rows.npy")

    def embed(images: Any) -> list[dict[str, Any]]:
        return [{"feature": image} for image in images]

    labels = job["labels"]
    index = FaissBuilder.build(rows, labels, embed, "IP", "Flat")
    index.save(str(data / "gallery"))
    indexer = FaissIndexer(str(data / "gallery"))
    model = create_model(job["name"], model_dir=job["model"])
    model_times, search_times, best = [], [], []
    for path in job["cuts"][:3] + job["cuts"]:
        image = cv2.imread(path)
        began = time.perf_counter()
        (result,) = list(model.predict([image]))
        embedded = time.perf_counter()
        found = indexer(np.asarray(result["feature"]).reshape(1, -1), job["threshold"], None, 5)
        search_times.append(time.perf_counter() - embedded)
        model_times.append(embedded - began)
        best.append([str(each) for each in (found[0]["label"] or [])[:1]])
    return {"model": model_times[3:], "search": search_times[3:], "best": best[3:]}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
