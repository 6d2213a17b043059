"""How a worker stops: it takes no more tasks, finishes the running ones and requeues the slowest.

| signal | what happens |
|---|---|
| SIGTERM, SIGINT, SIGHUP | running tasks have `shutdown_timeout` seconds; the rest is requeued |
| the same again, SIGQUIT | running tasks are requeued at once |

Requeued tasks come first in their queue. Celery's own handlers are replaced: with a pool of threads its warm
shutdown waits for as long as a task takes and renews no message meanwhile, and its cold shutdown interrupts
nothing. While the worker finishes, its loop keeps running: answers are acknowledged and messages renewed
(workers/consumer/visibility.py).
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from celery import bootsteps
from celery.worker import state as _state

GRACE: Final = 3.0
"""Seconds that requeueing and closing may take; then the process ends even if something hangs."""

CHECK_SECONDS: Final = 0.1
WARM_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = logging.getLogger(__name__)
state: Any = _state
"""Celery's own flags, which its loop reads; their published types allow only None."""


class Shutdown:
    """Whether a stop was requested, and how much time is left. `timeout` is in seconds."""

    def __init__(self, timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._end: float | None = None
        self.requeued = 0
        self.loading = True
        self.taking_tasks = False

    @property
    def requested(self) -> bool:
        """Whether the worker is to stop."""
        return self._end is not None

    @property
    def overdue(self) -> bool:
        """Whether the tasks that still run are requeued."""
        return self._end is not None and self._clock() >= self._end

    def install(self) -> None:
        """Handle the signals, which process 1 of a container ignores by default."""
        for each in WARM_SIGNALS:
            signal.signal(each, self._on_warm)
        signal.signal(signal.SIGQUIT, self._on_quit)

    def request(self, *, at_once: bool = False) -> None:
        """Stop within the timeout, or at once; a second request means at once."""
        again = self._end is not None
        self._end = self._clock() if at_once or again else self._clock() + self._timeout

    def _on_warm(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._handle()

    def _on_quit(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._handle(at_once=True)

    def _handle(self, *, at_once: bool = False) -> None:
        if not self.requested:
            threading.Thread(target=self._force_exit, name="shutdown", daemon=True).start()
        self.request(at_once=at_once)
        if self.loading:
            sys.exit(0)
        if not self.taking_tasks:
            # Without a broker no loop runs that would check.
            state.should_stop = 0

    def _force_exit(self) -> None:
        while self._end is None or self._clock() < self._end + GRACE:
            time.sleep(CHECK_SECONDS)
        log.error("the worker does not stop; its tasks are delivered again after the visibility timeout")
        end_process(1)


class ShutdownStep(bootsteps.StartStopStep):
    """Carries out a requested stop from within the worker's loop."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, *, shutdown: Shutdown | None = None, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = shutdown is not None
        self._shutdown = shutdown or Shutdown(0)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Replace Celery's signal handlers and start checking."""
        self._shutdown.install()
        self._shutdown.taking_tasks = True
        self._entry = parent.timer.call_repeatedly(CHECK_SECONDS, self._check, (parent,))

    def stop(self, parent: Any) -> None:
        """Stop checking: the connection was lost, or the worker stops."""
        del parent
        self._shutdown.taking_tasks = False
        if self._shutdown.requested:
            state.should_stop = 0
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _check(self, consumer: Any) -> None:
        if not self._shutdown.requested:
            return
        for queue in list(consumer.app.amqp.queues.consume_from):
            consumer.cancel_task_queue(queue)
        running = len(state.reserved_requests)
        if not running:
            state.should_stop = 0
        elif self._shutdown.overdue:
            self._shutdown.requeued = running
            # After the acknowledgements that wait in the loop. Closing the channel requeues the rest.
            consumer.call_soon(_terminate)


def _terminate() -> None:
    state.should_terminate = 0


def end_process(code: int) -> None:
    """End at once: requeued tasks must neither delay the exit nor fail on closed models."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)
