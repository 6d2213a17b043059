"""A live worker keeps its messages; a lost worker's messages are delivered again within seconds.

With the Redis protocol, a message that was taken and not acknowledged is delivered again after the
visibility timeout. Celery never renews it: with a timeout shorter than the longest task, that task runs
again and again; with a long one, a killed worker's tasks wait for as long. This step renews the worker's own
messages, so that the timeout only says when a silent worker counts as lost. With a timeout of 4 s a killed
worker's tasks were answered after 5 s, and a task of 10 s ran once (tests/acceptance/test_lost_worker.py).
"""

import logging
import time
from typing import Any, Final

from celery import bootsteps
from redis.exceptions import RedisError

BEATS: Final = 6
"""Renewals within one timeout, so that a few late ones cost nothing."""

log = logging.getLogger(__name__)


class VisibilityHeartbeat(bootsteps.StartStopStep):
    """Renews the scores of unacknowledged messages while the consumer runs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Start renewing."""
        timeout = parent.app.conf.broker_transport_options["visibility_timeout"]
        self._entry = parent.timer.call_repeatedly(timeout / BEATS, self._renew, (parent,))

    def stop(self, parent: Any) -> None:
        """Stop renewing: the connection was lost, or the worker stops."""
        del parent
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _renew(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        tags = list(channel.qos._delivered)
        if not tags:
            return
        try:
            with channel.conn_or_acquire() as client:
                # XX: a message that was acknowledged meanwhile must not come back.
                client.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)
        except (RedisError, OSError) as err:
            log.warning("%d messages could not be renewed: %s", len(tags), err)
            # The loop treats it as a lost connection and connects again.
            raise
