"""Flower, the web page that shows workers and tasks, on loopback behind a password."""

import base64
import http.client
import signal
import sys
from collections.abc import Mapping

from local.checkout import CHECKOUT
from local.ports import LOOPBACK
from local.servers import Servers
from local.service import Launch

USER = "paddlewheel"


class Flower:
    """Flower for the workers of one broker. `inherited` is its base environment."""

    name = "flower"
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 5.0

    def __init__(self, *, servers: Servers, port: int, password: str, inherited: Mapping[str, str]) -> None:
        self.address = f"http://{LOOPBACK}:{port}"
        self._password = password
        self._servers = servers
        self._port = port
        self._inherited = inherited

    def connection(self) -> dict[str, str]:
        """The address and credentials for people who open the page."""
        return {"flower_url": self.address, "flower_user": USER, "flower_password": self._password}

    def prepare(self) -> None:
        """Do nothing: Flower keeps no files."""

    def launch(self) -> Launch:
        # Addresses and passwords go through the environment: every user can read arguments.
        env = {
            **self._inherited,
            **self._servers.environment(),
            "FLOWER_ADDRESS": LOOPBACK,
            "FLOWER_PORT": str(self._port),
            "FLOWER_BASIC_AUTH": f"{USER}:{self._password}",
            "FLOWER_PERSISTENT": "false",
        }
        argv = (sys.executable, "-m", "celery", "--app", "workers.consumer.app", "flower")
        return Launch(argv=argv, env=env, cwd=CHECKOUT)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  the password shows that the server is ours
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", "/api/task/types", headers={"Authorization": self._authorization()})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{USER}:{self._password}".encode()).decode()
