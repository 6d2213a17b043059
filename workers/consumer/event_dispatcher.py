"""Events are worth one try: a broker that hangs must not hold the worker's loop for a heartbeat.

Celery sends heartbeats with retries that never end, in the thread that takes and acknowledges tasks. While
the broker hung, that thread noticed nothing else. What cannot be sent is lost to who watches: a heartbeat, or
what tasks did within a fifth of a second.
"""

from typing import Any

from celery.events.dispatcher import EventDispatcher


class OneTryDispatcher(EventDispatcher):
    """Celery's, without its retries."""

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:
        super()._publish(event, producer, routing_key, **{**options, "retry": False})  # type: ignore[misc]
