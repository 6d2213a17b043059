"""Sends each event once: a broker that hangs must not block the worker's loop for a heartbeat.

Celery retries heartbeats without end, in the thread that takes and acknowledges tasks, which noticed nothing
else while the broker hung. An event that cannot be sent is dropped: monitors miss a heartbeat, or what tasks
did within a fifth of a second.
"""

from typing import Any

from celery.events.dispatcher import EventDispatcher


class OneTryDispatcher(EventDispatcher):
    """Celery's, without its retries."""

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:
        super()._publish(event, producer, routing_key, **{**options, "retry": False})  # type: ignore[misc]
