"""How a worker stops: it takes nothing more, finishes what it runs, and gives back what takes too long.

| signal | what happens |
|---|---|
| SIGTERM, SIGINT, SIGHUP | what runs has `shutdown_timeout` seconds; the rest goes back to its queue |
| the same again, SIGQUIT | what runs goes back to its queue at once |

What goes back is the next thing that another worker takes. Celery's own handlers are replaced: with a pool of
threads its warm shutdown waits for as long as a task likes and renews no message meanwhile, and its cold one
does not interrupt anything. While the worker finishes, its loop goes on as ever: answers are acknowledged and
messages renewed (workers/consumer/visibility.py).
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
"""Seconds that giving back and closing may take; whatever hangs then, the process ends."""

LOOK: Final = 0.1
GENTLE: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = logging.getLogger(__name__)
state: Any = _state
"""Celery's own flags, which its loop looks at; their published types know only None."""


class Shutdown:
    """When a worker was asked to stop, and how much time it has left. `timeout` is in seconds."""

    def __init__(self, timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._end: float | None = None
        self.gave_back = 0
        self.loading = True
        self.taking_tasks = False

    @property
    def asked(self) -> bool:
        """Whether the worker is to stop."""
        return self._end is not None

    @property
    def overdue(self) -> bool:
        """Whether what still runs has to go back."""
        return self._end is not None and self._clock() >= self._end

    def install(self) -> None:
        """Listen to the signals. As process 1 of a container nothing else would."""
        for each in GENTLE:
            signal.signal(each, self._on_gentle)
        signal.signal(signal.SIGQUIT, self._on_quit)

    def ask(self, *, at_once: bool = False) -> None:
        """Stop in time, or at once. Asking again means at once."""
        again = self._end is not None
        self._end = self._clock() if at_once or again else self._clock() + self._timeout

    def _on_gentle(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._obey()

    def _on_quit(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._obey(at_once=True)

    def _obey(self, *, at_once: bool = False) -> None:
        if not self.asked:
            threading.Thread(target=self._insist, name="shutdown", daemon=True).start()
        self.ask(at_once=at_once)
        if self.loading:
            sys.exit(0)
        if not self.taking_tasks:
            # The broker is away: there is no loop that would look.
            state.should_stop = 0

    def _insist(self) -> None:
        while self._end is None or self._clock() < self._end + GRACE:
            time.sleep(LOOK)
        log.error("the worker does not stop by itself; its tasks go to another after the visibility timeout")
        end_process(1)


class Drain(bootsteps.StartStopStep):
    """Looks for the wish to stop from within the worker's loop, and carries it out."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, *, shutdown: Shutdown | None = None, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = shutdown is not None
        self._shutdown = shutdown or Shutdown(0)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Take over from Celery's signal handlers, and begin to look."""
        self._shutdown.install()
        self._shutdown.taking_tasks = True
        self._entry = parent.timer.call_repeatedly(LOOK, self._look, (parent,))

    def stop(self, parent: Any) -> None:
        """The connection is gone, or the worker stops."""
        del parent
        self._shutdown.taking_tasks = False
        if self._shutdown.asked:
            state.should_stop = 0
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _look(self, consumer: Any) -> None:
        if not self._shutdown.asked:
            return
        for queue in list(consumer.app.amqp.queues.consume_from):
            consumer.cancel_task_queue(queue)
        running = len(state.reserved_requests)
        if not running:
            state.should_stop = 0
        elif self._shutdown.overdue:
            self._shutdown.gave_back = running
            # Behind the acknowledgements that wait in the loop. Closing the channel gives the rest back.
            consumer.call_soon(_terminate)


def _terminate() -> None:
    state.should_terminate = 0


def end_process(code: int) -> None:
    """End now: tasks that were given back must not be waited for, nor answer for their closed models."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)
