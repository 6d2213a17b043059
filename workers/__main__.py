"""`python -m workers`: load the models, then take tasks until SIGTERM."""

import logging
import sys

from paddlewheel.errors import PaddlewheelError
from tasks.resources import install
from workers.bootstrap import build, worker_name
from workers.consumer.readiness import HealthFiles
from workers.consumer.shutdown import Shutdown, end_process
from workers.inference.host_config import OPEN_NETWORK
from workers.settings import WorkerSettings

log = logging.getLogger("workers")


def main(loader: str = OPEN_NETWORK) -> int:
    """Exit with 2 when a setting is wrong, with 1 when a model cannot be loaded."""
    try:
        settings = WorkerSettings.from_environment()
    except PaddlewheelError as err:
        print(f"error[{err.code}]: {err.message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from workers.consumer.app import app, quiet_celery

    quiet_celery(settings.log_level)
    shutdown = Shutdown(settings.shutdown_timeout)
    shutdown.install()
    health = HealthFiles(settings.ready_file, settings.live_file)
    try:
        resources = build(settings, loader=loader)
    except PaddlewheelError as err:
        log.error("error[%s]: %s", err.code, err.message)
        return 2 if err.code == "configuration_error" else 1
    install(resources)
    worker = app.Worker(
        pool="threads",
        concurrency=settings.task_slots,
        queues=list(settings.queues),
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        task_events=True,
        hostname=worker_name(),
        shutdown=shutdown,
        health=health,
        serving=resources.is_serving,
    )
    shutdown.loading = False
    worker.start()
    health.close()
    if shutdown.requeued:
        log.warning("stopped: %d running tasks were requeued", shutdown.requeued)
        resources.deliveries.close()
        end_process(0)
    resources.close()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
