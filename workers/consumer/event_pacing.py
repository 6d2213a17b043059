"""Sends task events in groups, a few times a second.

Celery publishes its buffered events at every turn of the consumer's loop. Under load that is a message to the
broker for each task or more, sent by the thread that also takes and acknowledges tasks. Monitors do
not notice a fifth of a second.
"""

import logging
from typing import Any, Final

from celery import bootsteps
from redis.exceptions import RedisError

INTERVAL: Final = 0.2
"""Seconds; Celery's own limit of 24 buffered events still sends earlier."""

log = logging.getLogger(__name__)


class EventPacing(bootsteps.StartStopStep):
    """Sends buffered events on a timer instead of at every turn of the loop."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Replace Celery's flushing."""
        if parent.hub is None:
            return
        parent.event_dispatcher.on_send_buffered = _wait
        self._entry = parent.timer.call_repeatedly(INTERVAL, self._flush, (parent,))

    def stop(self, parent: Any) -> None:
        """Send what is left and restore Celery's flushing."""
        if self._entry is None:
            return
        self._entry.cancel()
        self._entry = None
        if parent.event_dispatcher is not None:
            parent.event_dispatcher.on_send_buffered = parent.on_send_event_buffered
        self._flush(parent)

    def _flush(self, consumer: Any) -> None:
        dispatcher = consumer.event_dispatcher
        # An empty buffer would be published too.
        if dispatcher is None or not any(dispatcher._group_buffer.values()):
            return
        try:
            dispatcher.flush()
        except (RedisError, OSError) as err:
            log.warning("task events could not be sent: %s", err)


def _wait() -> None:
    """Leave sending to the timer."""
