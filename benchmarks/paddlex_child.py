"""Run by PaddleX's own interpreter (`paddlex_reference.py`): a job as JSON in, answers as JSON out.

A job is {"model", "directory", "images": [paths], "batch_sizes": [n], "repeats"}. Each batch size gives
the seconds of every repeat; the answers are those of the first batch size.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2


def main() -> None:
    """Read the job from the first argument's file, write the outcome to the second's."""
    from paddlex import create_model  # type: ignore[import-not-found,unused-ignore]

    job = json.loads(Path(sys.argv[1]).read_text())
    options = {"engine_config": {"run_mode": job["run_mode"]}} if job["run_mode"] else {}
    model = create_model(job["model"], model_dir=job["directory"], **options)
    images = [cv2.imread(path) for path in job["images"]]
    outcome: dict[str, Any] = {"seconds": {}}
    for batch_size in job["batch_sizes"]:
        seconds = []
        for _ in range(job["repeats"]):
            began = time.perf_counter()
            results = list(model.predict(images, batch_size=batch_size))
            seconds.append(time.perf_counter() - began)
        outcome["seconds"][str(batch_size)] = seconds
        outcome.setdefault("answers", [_answer(result) for result in results])
    Path(sys.argv[2]).write_text(json.dumps(outcome))


def _answer(result: Any) -> dict[str, Any]:
    if "rec_text" in result:
        return {"text": result["rec_text"], "score": float(result["rec_score"])}
    return {
        "polygons": [[[float(x), float(y)] for x, y in polygon] for polygon in result["dt_polys"]],
        "scores": [float(score) for score in result["dt_scores"]],
    }


if __name__ == "__main__":
    main()
