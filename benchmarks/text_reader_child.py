"""One reader of text on a list of pictures, in an environment of its own.

    python text_reader_child.py READER SIZE THREADS QUESTION ANSWER

Reads a JSON list of paths from the file QUESTION; writes a JSON list of `orders` (the lines in each order
that the reader offers), `seconds` and `error` to the file ANSWER. It imports nothing of the project's.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Orders = list[list[str]]


def rapidocr(size: str, threads: int) -> Callable[[Path], Orders]:
    """RapidOCR with its defaults."""
    from rapidocr import ModelType, RapidOCR  # type: ignore[import-not-found]

    engine = RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.model_type": ModelType(size),
            "Rec.model_type": ModelType(size),
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
    )

    def read(path: Path) -> Orders:
        found: Any = engine(str(path))
        return [list(found.txts or ())]

    return read


def faster_paddle(size: str, threads: int) -> Callable[[Path], Orders]:
    """faster-paddle with its defaults: its boxes are in one order, its text in another."""
    from faster_paddle import OcrEngine  # type: ignore[import-not-found]

    engine = OcrEngine(model_size=size, threads=threads)

    def read(path: Path) -> Orders:
        found = engine.ocr(path.read_bytes())
        boxes = [box["text"] for box in found["bounds"].values()]
        return [boxes, [line for line in found["text"].splitlines() if line.strip()]]

    return read


def main() -> None:
    """Read every picture once."""
    reader, size, threads, question, answer = sys.argv[1:]
    read = {"rapidocr": rapidocr, "faster-paddle": faster_paddle}[reader](size, int(threads))
    found: list[dict[str, Any]] = []
    for name in json.loads(Path(question).read_text()):
        began = time.perf_counter()
        orders: Orders = [[]]
        error = None
        try:
            orders = read(Path(name))
        except Exception as err:
            error = f"{type(err).__name__}: {err}"[:200]
        found.append({"orders": orders, "seconds": time.perf_counter() - began, "error": error})
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
