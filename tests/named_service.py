"""A Valkey and workers that read named lines, in processes of their own that a test may signal and kill."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from local.member import Member
from local.processes import wait_until
from local.stack import LocalStack

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0
SERVED = {
    # Text lines alone: workers start fast, and no engine is measured for networks that are made up.
    "PADDLEWHEEL_ENGINE": "openvino",
    "PADDLEWHEEL_ORIENTATION_MODEL": "none",
    "PADDLEWHEEL_FACE_DETECTION_MODELS": "none",
    "PADDLEWHEEL_FACE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_CLASSIFICATION_MODELS": "none",
}


@dataclass(frozen=True, kw_only=True)
class NamedWorker:
    """One worker process, its health files, and what it says."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str] = field(repr=False)
    ready_file: Path
    log: Path

    def wait_ready(self) -> Self:
        """Wait until it takes tasks."""
        assert wait_until(lambda: self.ready or self.process.poll() is not None, START_SECONDS), "not ready"
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self

    @property
    def ready(self) -> bool:
        """Whether it says that it takes tasks."""
        return self.ready_file.exists()

    def model_processes(self) -> list[psutil.Process]:
        """The model processes that live now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                each
                for each in psutil.Process(self.process.pid).children()
                if "workers.inference.process" in each.cmdline()
            ]
        return []

    def health(self, *questions: str) -> int:
        """The exit status of `python -m workers.health`."""
        command = [sys.executable, "-m", "workers.health", *questions]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, check=False
        ).returncode


class NamedService:
    """Starts Valkey at once, and workers when asked. `settings` are theirs, such as PADDLEWHEEL_DEVICE."""

    def __init__(self, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="paddlewheel-")
        self.folder = Path(self._folder.name)
        self._stack = LocalStack(self.folder, services={"valkey"}, ephemeral=True)
        self._settings = settings
        self.flag = self.folder / "flag"
        self.weights_gone = self.folder / "gone"
        self.workers: list[NamedWorker] = []

    def __enter__(self) -> Self:
        self._stack.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGCONT)
            worker.process.kill()
            worker.process.wait()
        self._stack.stop()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The broker's address."""
        return self._stack.servers.broker_url

    @property
    def valkey(self) -> Member:
        """The broker's process."""
        (found,) = self._stack.members
        return found

    def restart_valkey(self) -> None:
        """Start it again on its append-only file, after `valkey.kill()`."""
        self._stack.launch(self.valkey)
        assert wait_until(self.valkey.became_ready, START_SECONDS)

    def start_worker(self, *command: str, **settings: str) -> NamedWorker:
        """Start one more; `command` goes before the interpreter."""
        number = len(self.workers) + 1
        ready = self.folder / f"ready-{number}"
        log = self.folder / f"worker-{number}.log"
        environment = {
            **os.environ,
            **SERVED,
            "PADDLEWHEEL_BROKER_URL": self.url,
            "PADDLEWHEEL_MODEL_HOME": str(ROOT / ".paddlewheel" / "models"),
            "PADDLEWHEEL_READY_FILE": str(ready),
            "PADDLEWHEEL_LIVE_FILE": str(self.folder / f"live-{number}"),
            "PADDLEWHEEL_LOG_LEVEL": "WARNING",
            "FAULTY_FLAG": str(self.flag),
            "FAULTY_WEIGHTS_GONE": str(self.weights_gone),
            **self._settings,
            **settings,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, sys.executable, "-m", "tests.named_lines"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        worker = NamedWorker(process=process, environment=environment, ready_file=ready, log=log)
        self.workers.append(worker)
        return worker


@contextlib.contextmanager
def named_service(workers: int = 1, /, **settings: str) -> Iterator[NamedService]:
    """A service whose workers are ready."""
    with NamedService(**settings) as service:
        started = [service.start_worker() for _ in range(workers)]
        for worker in started:
            worker.wait_ready()
        yield service
