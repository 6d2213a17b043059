"""Two files report a worker's health to supervisors: one that it takes tasks, one that it is not stuck.

The ready file exists while the worker takes tasks: its models are warm, its broker is reachable, it is not
stopping. The worker's own loop touches the live file every second, so that the file's age is the time for
which the loop has been stuck or the broker unreachable. Wait for a worker that is not ready; restart one that
is not live. `python -m workers.health` checks both.

While no model process can be started the worker takes no tasks either: it would fail them faster than healthy
workers could answer them.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from celery import bootsteps

from workers.consumer.shutdown import Shutdown

BEAT: Final = 1.0
log = logging.getLogger(__name__)


class HealthFiles:
    """The two files; None where the settings name none."""

    def __init__(self, ready: Path | None, live: Path | None) -> None:
        self._ready = ready
        self._live = live
        self.set_ready(False)
        self.beat()

    def set_ready(self, ready: bool) -> None:
        """Create or delete the ready file."""
        if self._ready is None:
            return
        if not ready:
            self._ready.unlink(missing_ok=True)
        elif not self._ready.exists():
            self._ready.write_text("ready\n")

    def beat(self) -> None:
        """Touch the live file."""
        if self._live is not None:
            self._live.touch()

    def close(self) -> None:
        """Delete both files as the worker ends."""
        self.set_ready(False)
        if self._live is not None:
            self._live.unlink(missing_ok=True)


class Readiness(bootsteps.StartStopStep):
    """Updates the files from within the worker's loop. `serving` says whether a model process runs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(
        self,
        parent: Any,
        *,
        health: HealthFiles | None = None,
        shutdown: Shutdown | None = None,
        serving: Callable[[], bool] = lambda: True,
        **options: Any,
    ) -> None:
        super().__init__(parent, **options)
        self.enabled = health is not None
        self._health = health or HealthFiles(None, None)
        self._shutdown = shutdown or Shutdown(0)
        self._serving = serving
        self._paused = False
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Start checking; the consumer starts within the same turn of the loop."""
        self._paused = False
        self._entry = parent.timer.call_repeatedly(BEAT, self._check, (parent,))
        parent.timer.call_after(0, self._check, (parent,))

    def stop(self, parent: Any) -> None:
        """Become not ready: the connection was lost, or the worker stops."""
        del parent
        self._health.set_ready(False)
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _check(self, consumer: Any) -> None:
        self._health.beat()
        if not self._shutdown.requested:
            self._pause(consumer, not self._serving())
        self._health.set_ready(not self._paused and not self._shutdown.requested)

    def _pause(self, consumer: Any, pause: bool) -> None:
        if pause == self._paused:
            return
        self._paused = pause
        if pause:
            log.error("no model process can be started: no tasks are taken until one can")
            consumer.task_consumer.cancel()
        else:
            log.warning("a model process is available again: tasks are taken")
            consumer.task_consumer.consume()
