"""A whole service in processes of its own: Valkey and one worker with the real models."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from local.rendering import draw_line, png
from local.stack import LocalStack
from paddlewheel import Client

ROOT = Path(__file__).parents[2]

TEXT_ALONE = {
    f"PADDLEWHEEL_{family}_MODELS": "none"
    for family in ("FACE_DETECTION", "FACE_FEATURE", "IMAGE_FEATURE", "CLASSIFICATION")
}
PICTURES_ALONE = {
    "PADDLEWHEEL_RECOGNITION_MODELS": "none",
    "PADDLEWHEEL_DETECTION_MODELS": "none",
    "PADDLEWHEEL_ORIENTATION_MODEL": "none",
}
"""Every family costs seconds of a worker's start."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a caller knows of a running service, and what a test may do to it."""

    url: str = field(repr=False)
    _stack: LocalStack = field(repr=False)

    @property
    def database_url(self) -> str:
        """The database, where there is one."""
        return self._stack.servers.database_url

    def workers(self) -> list[psutil.Process]:
        """The processes of this service's workers that live."""
        pids = [
            member.status().process
            for member in self._stack.members
            if member.service.name.startswith("worker")
        ]
        return [psutil.Process(each.pid) for each in pids if each is not None and each.alive()]

    def worker(self) -> psutil.Process:
        """The only worker's process."""
        (found,) = self.workers()
        return found

    def model_process(self) -> psutil.Process:
        """The worker's model process."""
        (found,) = [
            each
            for each in self.worker().children()
            if each.cmdline()[1:3] == ["-m", "workers.inference.process"]
        ]
        return found


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """Reads text. Started once for all acceptance tests that leave it as they found it."""
    with running_service() as service:
        yield service


@pytest.fixture(scope="session")
def seeing() -> Iterator[Service]:
    """Knows faces and pictures, and has galleries; otherwise as `service`."""
    with running_service(families=PICTURES_ALONE, galleries=True) as service:
        yield service


class running_service:  # noqa: N801  reads as a function where it is used
    """A service of a test's own. `settings` are the worker's, such as PADDLEWHEEL_MAX_BATCH_SIZE.

    `families` are those that turn models off; with `galleries` there is a database.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        families: Mapping[str, str] = TEXT_ALONE,
        galleries: bool = False,
        **settings: str,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="paddlewheel-")
        places = {
            f"PADDLEWHEEL_{place.upper()}_URL": str(Path(self._folder.name) / place)
            for place in ("segment", "exchange")
        }
        environment = {**os.environ, "PADDLEWHEEL_LOG_LEVEL": "WARNING", **places, **families, **settings}
        environment.setdefault("PADDLEWHEEL_MODEL_HOME", str(ROOT / ".paddlewheel" / "models"))
        self._stack = LocalStack(
            Path(self._folder.name),
            services={"valkey", "worker"} | ({"postgres"} if galleries else set()),
            workers=workers,
            environment=environment,
            ephemeral=True,
        )

    def __enter__(self) -> Service:
        self._stack.start()
        return Service(url=self._stack.servers.broker_url, _stack=self._stack)

    def __exit__(self, *_: object) -> None:
        self._stack.stop()
        self._folder.cleanup()


@contextmanager
def faulty_service(loader: str, **settings: str) -> Iterator[Client]:
    """A service with one worker of `tests.faulty_worker`."""
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(Path(folder), services={"valkey"}, ephemeral=True) as stack,
    ):
        ready = Path(folder) / "ready"
        environment = {
            **os.environ,
            "PADDLEWHEEL_BROKER_URL": stack.servers.broker_url,
            "PADDLEWHEEL_MODEL_HOME": str(ROOT / ".paddlewheel" / "models"),
            "PADDLEWHEEL_READY_FILE": str(ready),
            "PADDLEWHEEL_LOG_LEVEL": "ERROR",
            "FAULTY_FLAG": str(Path(folder) / "flag"),
            **TEXT_ALONE,
            **settings,
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.faulty_worker", loader], cwd=ROOT, env=environment
        )
        try:
            while not ready.exists():
                assert worker.poll() is None, "the worker did not start"
                time.sleep(0.05)
            with Client(stack.servers.broker_url) as client:
                yield client
        finally:
            worker.terminate()
            assert worker.wait(60) == 0


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of the running service."""
    with Client(service.url) as client:
        yield client


@pytest.fixture
def eyes(seeing: Service) -> Iterator[Client]:
    """A client of the service that sees."""
    with Client(seeing.url) as client:
        yield client


@pytest.fixture(scope="session")
def good_line() -> bytes:
    """A line that says `page 7731`."""
    return png(draw_line("page 7731", 32))
