"""The workers that `benchmarks.queue` compares, each started on its own against one Valkey."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.queue_report import MODEL
from local.checkout import CHECKOUT

HOME: Final = CHECKOUT / ".paddlewheel" / "models"
CELERY_BATCHES: Final = "celery-batches==0.11"
BATCHES_FOLDER: Final = CHECKOUT / ".paddlewheel" / "celery-batches"
ONNX_MODEL: Final = "PP-OCRv6_small_rec"
LINES_ALONE: Final = {
    "PADDLEWHEEL_RECOGNITION_MODELS": MODEL,
    # Every family costs seconds of a worker's start.
    "PADDLEWHEEL_DETECTION_MODELS": "none",
    "PADDLEWHEEL_ORIENTATION_MODEL": "none",
    "PADDLEWHEEL_FACE_DETECTION_MODELS": "none",
    "PADDLEWHEEL_FACE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_CLASSIFICATION_MODELS": "none",
}
FAKE_BATCH: Final = 32
"""The largest batch of the model with a fixed time."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """One way to serve lines. `settings` are environment variables of Paddlewheel's worker."""

    name: str
    module: str = "workers"
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    needs_batches: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is Paddlewheel's worker."""
        return self.module != "benchmarks.celery_baseline"

    @contextmanager
    def running(self, broker: str) -> Iterator[None]:
        """Start it, wait until it takes tasks, end it."""
        with tempfile.TemporaryDirectory(prefix="party-") as folder:
            ready = Path(folder) / "ready"
            worker = subprocess.Popen(
                self._command(broker, ready), cwd=CHECKOUT, env=self._environment(broker, ready)
            )
            try:
                while not ready.exists():
                    if worker.poll() is not None:
                        raise RuntimeError(f"{self.name} did not start: status {worker.returncode}")
                    time.sleep(0.05)
                yield
            finally:
                worker.terminate()
                try:
                    worker.wait(30)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()

    def _command(self, broker: str, ready: Path) -> list[str]:
        command = [sys.executable, "-m", self.module]
        if self.ours:
            return command
        return [*command, "--broker", broker, "--home", str(HOME), "--ready", str(ready), *self.arguments]

    def _environment(self, broker: str, ready: Path) -> dict[str, str]:
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        if self.needs_batches:
            environment["PYTHONPATH"] = str(batches_folder())
        if self.ours:
            environment |= {
                "PADDLEWHEEL_BROKER_URL": broker,
                "PADDLEWHEEL_MODEL_HOME": str(HOME),
                "PADDLEWHEEL_READY_FILE": str(ready),
                "PADDLEWHEEL_LOG_LEVEL": "ERROR",
                "PADDLEWHEEL_QUEUES": "gpu",
                **LINES_ALONE,
                **self.settings,
            }
        return environment


def real_parties() -> list[Party]:
    """PP-OCRv4_mobile_rec, which Paddle and OpenVINO can load. The first is measured by turns with others."""
    cores = str(os.cpu_count() or 1)
    return [
        Party(name="Paddlewheel"),
        Party(
            name="Paddlewheel, batcher off",
            settings={"PADDLEWHEEL_MAX_BATCH_SIZE": "1", "PADDLEWHEEL_MAX_WAIT_TIME": "0"},
        ),
        Party(name="Paddlewheel, two slots", settings={"PADDLEWHEEL_DEVICE": "cpu,cpu"}),
        *(_on_engine(engine) for engine in ("paddle", "openvino")),
        _celery("Celery, threads", "--how", "single", "--concurrency", "8", "--threads", cores),
        _celery(
            "Celery, prefork",
            "--how",
            "single",
            "--pool",
            "prefork",
            "--concurrency",
            cores,
            "--threads",
            "1",
        ),
        _batches("celery-batches, flush 0.05 s", 0.05, 8, "--threads", cores),
    ]


def onnx_parties() -> list[Party]:
    """PP-OCRv6_small_rec, which OpenVINO and ONNX Runtime can load; none if it is not installed."""
    if not (HOME / ONNX_MODEL).is_dir():
        return []
    model = {"PADDLEWHEEL_RECOGNITION_MODELS": ONNX_MODEL}
    return [_on_engine(engine, **model) for engine in ("openvino", "onnxruntime")]


def fixed_time_parties() -> list[Party]:
    """The model that takes 20 ms a batch."""
    module = "benchmarks.fixed_time_worker"
    batching = {"PADDLEWHEEL_MAX_BATCH_SIZE": str(FAKE_BATCH), "PADDLEWHEEL_ENGINE": "openvino"}
    off = {"PADDLEWHEEL_MAX_BATCH_SIZE": "1", "PADDLEWHEEL_ENGINE": "openvino"}
    return [
        Party(name="Paddlewheel", module=module, settings=batching),
        Party(
            name="Paddlewheel, two slots",
            module=module,
            settings={**batching, "PADDLEWHEEL_DEVICE": "cpu,cpu"},
        ),
        Party(name="Paddlewheel, batcher off", module=module, settings=off),
        _celery("Celery, threads", "--how", "single", "--concurrency", "8", "--fixed-time"),
        _celery(
            "Celery, prefork", "--how", "single", "--pool", "prefork", "--concurrency", "1", "--fixed-time"
        ),
        _batches("celery-batches, flush 0.01 s", 0.01, FAKE_BATCH, "--fixed-time"),
        _batches("celery-batches, flush 0.05 s", 0.05, FAKE_BATCH, "--fixed-time"),
        _batches("celery-batches, flush 0.1 s", 0.1, FAKE_BATCH, "--fixed-time"),
    ]


def batches_folder() -> Path:
    """celery-batches in a folder of its own, for this environment's Celery; installed on the first call."""
    done = BATCHES_FOLDER / ".installed"
    if not done.is_file() or done.read_text() != CELERY_BATCHES:
        target = ("--target", str(BATCHES_FOLDER), "--no-deps", CELERY_BATCHES)
        subprocess.run([sys.executable, "-m", "uv", "--quiet", "pip", "install", *target], check=True)
        done.write_text(CELERY_BATCHES)
    return BATCHES_FOLDER


def _on_engine(engine: str, **settings: str) -> Party:
    return Party(name=f"Paddlewheel, {engine}", settings={"PADDLEWHEEL_ENGINE": engine, **settings})


def _celery(name: str, *arguments: str) -> Party:
    return Party(name=name, module="benchmarks.celery_baseline", arguments=arguments)


def _batches(name: str, flush: float, size: int, *arguments: str) -> Party:
    return Party(
        name=name,
        module="benchmarks.celery_baseline",
        arguments=(
            *("--how", "batches", "--flush-interval", str(flush), "--batch-size", str(size)),
            *arguments,
        ),
        needs_batches=True,
    )
