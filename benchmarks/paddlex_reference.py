"""PaddleX itself, as the thing to compare with: in an environment of its own, reached by JSON.

    python -m benchmarks.paddlex_reference FOLDER [--model NAME] [--batch-sizes 1,8]

prints how many lines of the folder a second `predict` reads at each batch size, as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.checkout import CHECKOUT

REQUIREMENTS = ("paddlex[cv,ocr-core,serving]==3.7.2", "paddlepaddle==3.3.1", "faiss-cpu==1.15.1")
ENVIRONMENT = CHECKOUT / ".paddlewheel" / "paddlex"
MODELS = CHECKOUT / ".paddlewheel" / "models"
BATCH_SIZES = (1, 2, 4, 8, 16, 32)

_CHILD = Path(__file__).with_name("paddlex_child.py")
_READY = "ready.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """PaddleX's answers in the order of the images, and the seconds of each repeat by batch size."""

    answers: list[dict[str, Any]]
    seconds: Mapping[int, list[float]]


def interpreter(environment: Path = ENVIRONMENT) -> Path:
    """The Python that has PaddleX; made on the first call (about 1.5 GB)."""
    python = environment / "bin" / "python"
    ready = environment / _READY
    if not ready.is_file() or json.loads(ready.read_text()) != list(REQUIREMENTS):
        _uv("venv", "--allow-existing", "--python", sys.executable, str(environment))
        _uv("pip", "install", "--python", str(python), *REQUIREMENTS)
        ready.write_text(json.dumps(REQUIREMENTS))
    return python


def child_environment(threads: int | None = None) -> dict[str, str]:
    """What its interpreter is run with: as many CPU threads as there are cores, unless given.

    PaddleX's own default is 10.
    """
    environment = {
        **os.environ,
        "PADDLE_PDX_CPU_NUM_THREADS": str(threads or os.cpu_count() or 1),
        "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
    }
    environment.pop("PYTHONPATH", None)
    return environment


@dataclass(frozen=True, kw_only=True)
class Job:
    """`create_model(model, model_dir=directory, **options).predict(images)` at each batch size.

    The images are `decoded` beforehand; otherwise `predict` gets their paths.
    """

    model: str
    directory: Path
    images: Sequence[Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_sizes: Sequence[int] = (1,)
    repeats: int = 1
    decoded: bool = True

    def as_json(self) -> dict[str, Any]:
        """What the child reads."""
        return {
            "model": self.model,
            "directory": str(self.directory.absolute()),
            "images": [str(path.absolute()) for path in self.images],
            "options": dict(self.options),
            "batch_sizes": list(self.batch_sizes),
            "repeats": self.repeats,
            "decoded": self.decoded,
        }


def predict(*jobs: Job, threads: int | None = None) -> list[Outcome]:
    """Run the jobs one after the other, in one process of that many CPU threads."""
    python = interpreter()
    with tempfile.TemporaryDirectory(prefix="paddlex-") as folder:
        question, answer = Path(folder, "jobs.json"), Path(folder, "outcomes.json")
        question.write_text(json.dumps([job.as_json() for job in jobs]))
        # -P: the modules beside the child are not PaddleX's, whatever their names.
        line = [str(python), "-P", str(_CHILD), str(question), str(answer)]
        done = subprocess.run(
            line, env=child_environment(threads), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(
                f"PaddleX failed on {', '.join(job.model for job in jobs)}:\n{done.stderr[-2000:]}"
            )
        outcomes = json.loads(answer.read_text())
    return [
        Outcome(answers=each["answers"], seconds={int(n): times for n, times in each["seconds"].items()})
        for each in outcomes
    ]


def predict_speeds(
    folder: Path,
    *,
    model: str = "PP-OCRv4_mobile_rec",
    directory: Path | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    repeats: int = 3,
    threads: int | None = None,
) -> dict[int, float]:
    """Lines a second of PaddleX's `predict` on a folder of PNG lines, by batch size.

    The files are decoded beforehand. Of the repeats the fastest counts, so the first one's preparation of
    shapes that it sees first does not.
    """
    lines = sorted(folder.glob("*.png"))
    job = Job(
        model=model,
        directory=directory or MODELS / model,
        images=lines,
        batch_sizes=batch_sizes,
        repeats=repeats,
    )
    (outcome,) = predict(job, threads=threads)
    return {size: len(lines) / min(seconds) for size, seconds in outcome.seconds.items()}


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paddlex_reference", description=__doc__)
    parser.add_argument("folder", type=Path, help="PNG lines")
    parser.add_argument("--model", default="PP-OCRv4_mobile_rec")
    parser.add_argument(
        "--model-dir", type=Path, help="the model's directory; in the model home unless given"
    )
    parser.add_argument("--batch-sizes", default=",".join(map(str, BATCH_SIZES)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    speeds = predict_speeds(
        given.folder,
        model=given.model,
        directory=given.model_dir,
        batch_sizes=[int(size) for size in given.batch_sizes.split(",")],
        repeats=given.repeats,
        threads=given.threads,
    )
    print(json.dumps({"model": given.model, "threads": given.threads, "lines_per_second": speeds}))


if __name__ == "__main__":
    main()
