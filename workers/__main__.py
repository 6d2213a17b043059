"""`python -m workers`: load the models, then take tasks until SIGTERM."""

import logging
import os
import socket
import sys

from celery.signals import worker_ready, worker_shutting_down

from api_client.errors import PaddlewheelError
from tasks.resources import install
from workers.bootstrap import build
from workers.model_host import OPEN_NETWORK
from workers.settings import Settings

log = logging.getLogger("workers")


def main(loader: str = OPEN_NETWORK) -> int:
    """Exit with 2 when a setting is wrong, with 1 when a model cannot be loaded."""
    try:
        settings = Settings.from_environment()
    except PaddlewheelError as err:
        print(f"error[{err.code}]: {err.message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from workers.app import app, quiet_celery

    quiet_celery(settings.log_level)
    try:
        resources = build(settings, loader=loader)
    except PaddlewheelError as err:
        log.error("error[%s]: %s", err.code, err.message)
        return 2 if err.code == "configuration_error" else 1
    install(resources)
    _announce(settings)
    worker = app.Worker(
        pool="threads",
        concurrency=settings.task_slots,
        queues=list(settings.queues),
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        task_events=True,
        hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
    )
    try:
        worker.start()
    finally:
        resources.close()
    return int(worker.exitcode or 0)


def _announce(settings: Settings) -> None:
    """Keep the ready file while tasks are taken, for supervisors and health checks."""
    path = settings.ready_file
    if path is None:
        return

    def ready(**_: object) -> None:
        path.write_text("ready\n")

    def stopping(**_: object) -> None:
        path.unlink(missing_ok=True)

    path.unlink(missing_ok=True)
    worker_ready.connect(ready, weak=False)
    worker_shutting_down.connect(stopping, weak=False)


if __name__ == "__main__":
    sys.exit(main())
