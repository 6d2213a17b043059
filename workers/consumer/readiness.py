"""Two files tell supervisors how a worker is: one that it takes tasks, one that it is not stuck.

The ready file exists while the worker takes tasks: its models are warm, its broker is there, it does not
stop. The live file is touched by the worker's own loop every second, so that its age is the time for which
the loop has been stuck or the broker has been away. A worker that is not ready needs patience; one that is
not live needs a new process. `python -m workers.health` asks both.

While no model process can be started the worker takes no tasks either: it would be faster than every healthy
worker, at failing them.
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
    """The two files; None for one that nobody asked for."""

    def __init__(self, ready: Path | None, live: Path | None) -> None:
        self._ready = ready
        self._live = live
        self.set_ready(False)
        self.beat()

    def set_ready(self, ready: bool) -> None:
        """Say whether the worker takes tasks."""
        if self._ready is None:
            return
        if not ready:
            self._ready.unlink(missing_ok=True)
        elif not self._ready.exists():
            self._ready.write_text("ready\n")

    def beat(self) -> None:
        """Say that the loop goes round."""
        if self._live is not None:
            self._live.touch()

    def close(self) -> None:
        """The worker has ended."""
        self.set_ready(False)
        if self._live is not None:
            self._live.unlink(missing_ok=True)


class Readiness(bootsteps.StartStopStep):
    """Keeps the files from within the worker's loop. `serving` says whether a model process is there."""

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
        """A connection is there; the consumer begins within the same turn of the loop."""
        self._paused = False
        self._entry = parent.timer.call_repeatedly(BEAT, self._look, (parent,))
        parent.timer.call_after(0, self._look, (parent,))

    def stop(self, parent: Any) -> None:
        """The connection is gone, or the worker stops."""
        del parent
        self._health.set_ready(False)
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _look(self, consumer: Any) -> None:
        self._health.beat()
        if not self._shutdown.asked:
            self._pause(consumer, not self._serving())
        self._health.set_ready(not self._paused and not self._shutdown.asked)

    def _pause(self, consumer: Any, pause: bool) -> None:
        if pause == self._paused:
            return
        self._paused = pause
        if pause:
            log.error("no model process can be started: no tasks are taken until one can")
            consumer.task_consumer.cancel()
        else:
            log.warning("a model process is there again: tasks are taken")
            consumer.task_consumer.consume()
