"""PaddleX's face_recognition pipeline and its basic serving; run by its interpreter, nothing of ours is
imported.

    python benchmarks/paddlex_faces.py ask DATA REPEATS INDEX_TYPE
    python benchmarks/paddlex_faces.py serve DATA PORT INDEX_TYPE

DATA holds rows.npy and labels.txt of the gallery, pipeline.yaml, and the pictures to ask for (*.jpg).

As released, the pipeline of 3.7.2 ends with "too many values to unpack" at the first face: a result's
`feature` is the array [1, D] of its batch where the search takes rows. `repaired` hands it the rows; nothing
else is changed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY = "people"
WARM_UP = 3
"""Passes that do not count: the first picture of a shape prepares the engine."""


class Timed:
    """Something that is called, and the seconds that it took."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work
        self.seconds = 0.0

    def __call__(self, *given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        made = self.work(*given, **named)
        self.seconds += time.perf_counter() - began
        return made

    def taken(self) -> float:
        """The seconds since this was last asked for."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def write_gallery(data: Path, index_type: str) -> None:
    """As its user keeps a gallery (a folder), and as its serving does (one file in `.index`)."""
    import numpy as np
    from paddlex.inference.pipelines.components.faisser import FaissBuilder

    def embed(images: Any) -> list[dict[str, Any]]:
        return [{"feature": image} for image in images]

    labels = (data / "labels.txt").read_text(encoding="utf-8").split("\n")
    index = FaissBuilder.build(np.load(data / "rows.npy"), labels, embed, "IP", index_type)
    index.save(str(data / "gallery"))
    (data / ".index").mkdir(exist_ok=True)
    (data / ".index" / KEY).write_bytes(index.to_bytes())


def repaired(data: Path) -> Any:
    """The pipeline."""
    from paddlex import create_pipeline

    pipeline = create_pipeline(str(data / "pipeline.yaml"))
    normalize = pipeline.rec_model.postprocessors["NormalizeFeatures"]
    pipeline.rec_model.postprocessors["NormalizeFeatures"] = lambda features: list(normalize(features))
    return pipeline


def ask(data: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each picture by part, one picture at a time, and the faces of the first pass."""
    pipeline = repaired(data)
    parts = {
        "detection network": (pipeline.det_model, "runner"),
        "embedding network": (pipeline.rec_model, "runner"),
        "search": (pipeline, "indexer"),
    }
    timed = {}
    for name, (owner, attribute) in parts.items():
        timed[name] = Timed(getattr(owner, attribute))
        setattr(owner, attribute, timed[name])
    seconds: dict[str, list[float]] = {name: [] for name in ("end to end", *timed)}
    faces = []
    paths = sorted(map(str, data.glob("*.jpg")))
    for number in range(WARM_UP + repeats):
        for path in paths:
            began = time.perf_counter()
            (result,) = pipeline.predict(path)
            taken = {"end to end": time.perf_counter() - began}
            taken |= {name: each.taken() for name, each in timed.items()}
            if number < WARM_UP:
                faces.append([face(box) for box in result["boxes"]])
                continue
            for name, value in taken.items():
                seconds[name].append(value)
    return {"seconds": seconds, "faces": faces[: len(paths)]}


def face(box: dict[str, Any]) -> dict[str, Any]:
    """A box in the form in which the two sides are compared."""
    return {
        "bbox": [float(corner) for corner in box["coordinate"]],
        "score": float(box["det_score"]),
        "labels": list(box["labels"] or []),
        "scores": [float(score) for score in box["rec_scores"] or []],
    }


def serve(data: Path, port: int) -> None:
    """What `paddlex --serve` does, with the pipeline that is repaired. Galleries are in `.index` here."""
    from paddlex.inference.pipelines import load_pipeline_config
    from paddlex.inference.serving.basic_serving import create_pipeline_app, run_server

    app = create_pipeline_app(repaired(data), load_pipeline_config(str(data / "pipeline.yaml")))
    run_server(app, host="127.0.0.1", port=port)


def main() -> None:
    """Read the line."""
    command, data, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    write_gallery(data, sys.argv[4])
    if command == "serve":
        serve(data, number)
    else:
        print(json.dumps(ask(data, number)))


if __name__ == "__main__":
    main()
