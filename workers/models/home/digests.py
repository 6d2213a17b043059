"""Digests of files that have no published one: recorded at the first fetch, compared at every later one."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paddlewheel.errors import ModelFilesRefused, ModelUnavailable


@contextmanager
def file_lock(path: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock of that file against other processes and threads; calls `on_wait` before it blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class SeenDigests:
    """A JSON file of digests by address. It outlives the models, so that a later fetch is checked too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, url: str, sha256: str) -> None:
        """Raises ModelFilesRefused when another file from that address was recorded before."""
        before = self._read().get(url)
        if before is not None and before["sha256"] != sha256:
            raise ModelFilesRefused(
                f"{url} is not what it was on {before['seen']}: its SHA-256 was {before['sha256']} and is "
                f"{sha256}. If a new edition was published, pull it with --accept-changed."
            )

    def record(self, digests: Mapping[str, str]) -> None:
        """Keep these, by address, for every later check. Only for files that proved to be the model."""
        with file_lock(self._path.with_name(f"{self._path.name}.lock")):
            seen = self._read()
            today = datetime.now(UTC).strftime("%Y-%m-%d")
            for url, sha256 in digests.items():
                if url not in seen or seen[url]["sha256"] != sha256:
                    seen[url] = {"sha256": sha256, "seen": today}
            self._write(seen)

    def _read(self) -> dict[str, Any]:
        try:
            seen = json.loads(self._path.read_text())
            return {str(url): {"sha256": each["sha256"], "seen": each["seen"]} for url, each in seen.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise ModelUnavailable(
                f"{self._path} is damaged: move it away; digests are then recorded again."
            ) from err

    def _write(self, seen: dict[str, Any]) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=".", delete=False) as part:
            json.dump(seen, part, indent=2, sort_keys=True)
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(self._path)
