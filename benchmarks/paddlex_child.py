"""Run by PaddleX's own interpreter (`paddlex_reference.py`): jobs as JSON in, answers as JSON out.

A job is {"model", "directory", "images": [paths], "options", "batch_sizes": [n], "repeats", "decoded"};
`options` are keyword arguments of `create_model`; `decoded` says whether it gets pixels or paths. Each batch
size gives the seconds of every repeat; the answers are those of the first batch size.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2


def main() -> None:
    """Read the jobs from the first argument's file, write their outcomes to the second's."""
    jobs = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([_outcome(job) for job in jobs]))


def _outcome(job: dict[str, Any]) -> dict[str, Any]:
    from paddlex import create_model  # type: ignore[import-not-found,unused-ignore]

    model = create_model(job["model"], model_dir=job["directory"], **job["options"])
    images = [cv2.imread(path) for path in job["images"]] if job["decoded"] else job["images"]
    outcome: dict[str, Any] = {"seconds": {}}
    for batch_size in job["batch_sizes"]:
        seconds = []
        for _ in range(job["repeats"]):
            began = time.perf_counter()
            results = list(model.predict(images, batch_size=batch_size))
            seconds.append(time.perf_counter() - began)
        outcome["seconds"][str(batch_size)] = seconds
        if "answers" not in outcome:
            outcome["answers"] = [_answer(result) for result in results]
    return outcome


def _answer(result: Any) -> dict[str, Any]:
    if "rec_text" in result:
        return {"text": result["rec_text"], "score": float(result["rec_score"])}
    # In PaddleX 3.7.2 `feature` and `class_ids` of every result are those of its whole batch: at batch size
    # 1, an array of one row.
    if "feature" in result:
        (feature,) = result["feature"]
        return {"feature": [float(number) for number in feature]}
    if "class_ids" in result:
        (class_ids,) = result["class_ids"]
        return {
            "class_ids": [int(index) for index in class_ids],
            "label_names": list(result["label_names"]),
            "scores": [float(score) for score in result["scores"]],
        }
    if "boxes" in result:
        return {"boxes": [_box(box) for box in result["boxes"]]}
    return {
        "polygons": [[[float(x), float(y)] for x, y in polygon] for polygon in result["dt_polys"]],
        "scores": [float(score) for score in result["dt_scores"]],
    }


def _box(box: dict[str, Any]) -> dict[str, Any]:
    corners = [float(number) for number in box["coordinate"]]
    return {"cls_id": box["cls_id"], "label": box["label"], "score": box["score"], "coordinate": corners}


if __name__ == "__main__":
    main()
