"""Celery workers of the checkout. A worker creates a file once it takes tasks with warm models, and keeps
touching another one while it makes progress."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local.checkout import CHECKOUT
from local.servers import Servers
from local.service import Launch

LIVENESS_SECONDS = 120.0


class Worker:
    """Worker `number` of the `share` workers that divide this machine's cores."""

    stop_signal = signal.SIGTERM  # finishes running tasks and returns prefetched ones
    start_seconds = 300.0  # loads the models, and measures engines on the first run
    stop_seconds = 30.0

    def __init__(
        self, folder: Path, *, number: int, share: int, servers: Servers, inherited: Mapping[str, str]
    ) -> None:
        self.name = f"worker-{number}"
        self.address = self.name
        self._ready_file = folder / f"{self.name}.ready"
        self._live_file = folder / f"{self.name}.live"
        self._share = share
        self._servers = servers
        self._inherited = inherited

    def prepare(self) -> None:
        self._ready_file.unlink(missing_ok=True)

    def launch(self) -> Launch:
        env = {
            "PADDLEWHEEL_CPU_THREADS": str(max(1, (os.cpu_count() or 1) // self._share)),
            **self._inherited,
            **self._servers.environment(),
            "PADDLEWHEEL_READY_FILE": str(self._ready_file),
            "PADDLEWHEEL_LIVE_FILE": str(self._live_file),
        }
        return Launch(argv=(sys.executable, "-m", "workers"), env=env, cwd=CHECKOUT)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  the file is removed before every launch
        return self._ready_file.exists()

    def live(self) -> bool:
        """Whether it touched its file recently; `python -m workers.health --live` checks the same."""
        timeout = float(self._inherited.get("PADDLEWHEEL_LIVENESS_TIMEOUT") or LIVENESS_SECONDS)
        try:
            return time.time() - self._live_file.stat().st_mtime <= timeout
        except FileNotFoundError:
            return True  # the worker ends by itself
