"""PaddleX's basic serving of the face_recognition pipeline, started and ended."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.paddlex_reference import child_environment, interpreter
from local.child import tail
from local.ports import LOOPBACK, free_port

START_SECONDS: Final = 180.0
STOP_SECONDS: Final = 20.0
INDEX_TYPE: Final = "Flat"
"""What its `/face-recognition-index-build` makes."""

_CHILD: Final = Path(__file__).with_name("paddlex_faces.py")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address; `folder` is what `known_faces.write_for_paddlex` wrote. Raises RuntimeError."""
    port, log = free_port(), folder / "serving.log"
    line = [str(interpreter()), "-P", str(_CHILD), "serve", str(folder), str(port), INDEX_TYPE]
    with log.open("wb") as output:
        server = subprocess.Popen(
            line, env=child_environment(), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _await(server, f"http://{LOOPBACK}:{port}/health", log)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(health, timeout=5):  # noqa: S310 (our own loopback)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"PaddleX's server did not start. Its log ends:\n{tail(log, 20)}")
