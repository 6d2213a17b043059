"""The readers that are compared, each one function: ours without a queue, others in a process of theirs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bare_reader import BareReader
from benchmarks.labelled_pages import LabelledPage
from local.checkout import CHECKOUT
from workers.models.engines.session import SessionOptions

MODELS: Final = CHECKOUT / ".paddlewheel" / "models"
_CHILD: Final = Path(__file__).with_name("text_reader_child.py")
_READY: Final = "ready.json"
REQUIREMENTS: Final[Mapping[str, Sequence[str]]] = {
    "rapidocr": ("rapidocr==3.10.0", "onnxruntime==1.31.1"),
    "faster-paddle": ("faster-paddle==1.0.4",),
}
"""What each is installed with, into an environment of its own below .paddlewheel/."""


@dataclass(frozen=True, kw_only=True)
class ReadPage:
    """A reader's lines, in one order or in several; the seconds that they took, or why there are none."""

    orders: Sequence[Sequence[str]]
    seconds: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the pages are read: CPU threads, our engine and our model home."""

    threads: int
    engine: str
    home: Path


Reader = Callable[[Reading, Sequence[LabelledPage]], list[ReadPage]]


def read_here(
    detection: str, recognition: str, how: Reading, pages: Sequence[LabelledPage]
) -> list[ReadPage]:
    """Ours, in this process. Raises ModelUnknown where the model home lacks a model."""
    options = SessionOptions(engine=how.engine, threads=how.threads)  # type: ignore[arg-type]
    reader = BareReader(how.home, detection, recognition, options)
    answers = []
    for page in pages:
        began = time.perf_counter()
        lines, error = reader.lines_or_error(page.data)
        answers.append(ReadPage(orders=[lines], seconds=time.perf_counter() - began, error=error))
    return answers


def read_elsewhere(reader: str, size: str, how: Reading, pages: Sequence[LabelledPage]) -> list[ReadPage]:
    """Another reader, in a process of its own environment."""
    with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
        paths = [Path(folder, f"{number:04d}{_suffix(page)}") for number, page in enumerate(pages)]
        for path, page in zip(paths, pages, strict=True):
            path.write_bytes(page.data)
        question, answer = Path(folder, "pages.json"), Path(folder, "answers.json")
        question.write_text(json.dumps(list(map(str, paths))))
        line = [str(interpreter(reader)), "-P", str(_CHILD), reader, size, str(how.threads)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [*line, str(question), str(answer)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{reader} failed:\n{done.stderr[-2000:]}")
        return [ReadPage(**each) for each in json.loads(answer.read_text())]


def interpreter(reader: str) -> Path:
    """The Python that has this reader; made on the first call."""
    environment = CHECKOUT / ".paddlewheel" / reader
    python, ready = environment / "bin" / "python", environment / _READY
    wanted = list(REQUIREMENTS[reader])
    if not ready.is_file() or json.loads(ready.read_text()) != wanted:
        uv = [sys.executable, "-m", "uv", "--quiet"]
        venv = [*uv, "venv", "--allow-existing", "--python", sys.executable, str(environment)]
        subprocess.run(venv, check=True)
        subprocess.run([*uv, "pip", "install", "--python", str(python), *wanted], check=True)
        ready.write_text(json.dumps(wanted))
    return python


def _suffix(page: LabelledPage) -> str:
    return Path(page.name).suffix or ".png"


READERS: Final[Mapping[str, Reader]] = {
    "ours v4": partial(read_here, "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"),
    "ours v6 small": partial(read_here, "PP-OCRv6_small_det", "PP-OCRv6_small_rec"),
    "ours v6 tiny": partial(read_here, "PP-OCRv6_tiny_det", "PP-OCRv6_tiny_rec"),
    "rapidocr": partial(read_elsewhere, "rapidocr", "small"),
    "faster-paddle small": partial(read_elsewhere, "faster-paddle", "small"),
    "faster-paddle tiny": partial(read_elsewhere, "faster-paddle", "tiny"),
}
"""Every party. rapidocr ships the weights of the small size alone."""
