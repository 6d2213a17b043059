"""`python -m gateway`: serve HTTP."""

import logging
import sys

import uvicorn

from database.migration import migrate
from gateway.app import create_app
from gateway.settings import GatewaySettings
from paddlewheel.errors import PaddlewheelError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main() -> int:
    """Read the settings, migrate the database and serve until a signal stops the process."""
    try:
        settings = GatewaySettings.from_environment()
        migrate(settings.database_url)
    except PaddlewheelError as err:
        print(f"gateway: {err.message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=30,
        limit_concurrency=1000,
        h11_max_incomplete_event_size=16 * 1024,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
