"""The Celery app of every worker, and of Flower."""

import logging
from typing import Final

from celery import Celery
from kombu import Exchange, Queue

from paddlewheel.wire.connection import keepalive_options
from tasks import MODULES
from workers.consumer.event_pacing import EventPacing
from workers.consumer.readiness import Readiness
from workers.consumer.shutdown import ShutdownStep
from workers.consumer.transport import use_for_redis
from workers.consumer.visibility import VisibilityHeartbeat
from workers.settings import WorkerSettings

QUEUES: Final = ("gpu", "index", "batch")
"""Model work, gallery maintenance, and the shards of batch jobs."""

SHOWN_RESULT: Final = 64
"""Characters of a result in an event: operators need not read the text of pictures."""


def make_app(settings: WorkerSettings) -> Celery:
    """Build the app. Results and arguments are JSON; nothing is ever unpickled."""
    use_for_redis()
    app = Celery("paddlewheel", broker=settings.broker_url, include=list(MODULES))
    app.conf.update(
        result_backend=f"workers.consumer.result_store.ResultStore+{settings.result_url}",
        result_expires=settings.result_ttl,
        # While the result store restarts, an answer waits; otherwise the lost connection became the answer.
        result_backend_always_retry=True,
        result_backend_max_sleep_between_retries_ms=500,
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # Without an exchange of its own each queue would be bound to the default one and get every retry.
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        # A task is acknowledged when it is answered; one whose worker is lost is delivered again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_track_started=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_keepalive": True,
            "socket_keepalive_options": keepalive_options(settings.broker_timeout),
            "socket_timeout": settings.broker_timeout,
            "socket_connect_timeout": settings.broker_timeout,
            # How often kombu checks whether the reply that an idle worker waits for is overdue.
            "health_check_interval": settings.broker_timeout,
            "visibility_timeout": settings.visibility_timeout,
            # Check for lost messages every second; kombu's default is about every hundred.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            # A worker killed during the check leaves its lock behind: for five minutes, by default.
            "unacked_mutex_expire": 5,
        },
        redis_socket_keepalive=True,
        redis_socket_timeout=settings.broker_timeout,
        redis_socket_connect_timeout=settings.broker_timeout,
        redis_backend_health_check_interval=25,
    )
    app.events.dispatcher_cls = "workers.consumer.event_dispatcher:OneTryDispatcher"
    app.Task.resultrepr_maxsize = SHOWN_RESULT
    for step in (VisibilityHeartbeat, EventPacing, Readiness, ShutdownStep):
        app.steps["consumer"].add(step)
    return app


def quiet_celery(level: str) -> None:
    """Drop Celery's line for each answer: ours reports it already, without the result's text."""
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(level if level == "DEBUG" else "WARNING")


app = make_app(WorkerSettings.from_environment())
