"""The checkout's HTTP gateway, on loopback, where callers need no key."""

import http.client
import signal
import sys
from collections.abc import Mapping

from local.checkout import CHECKOUT
from local.ports import LOOPBACK
from local.servers import Servers
from local.service import Launch

SCOPES = "tasks,galleries:read,galleries:write,jobs,metrics"


class Gateway:
    """A gateway for one broker and one database. `inherited` is its base environment."""

    name = "gateway"
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 35.0  # finishes the requests in progress

    def __init__(self, *, servers: Servers, port: int, inherited: Mapping[str, str]) -> None:
        self.address = f"http://{LOOPBACK}:{port}"
        self._servers = servers
        self._port = port
        self._inherited = inherited

    def connection(self) -> dict[str, str]:
        """The address for callers."""
        return {"gateway_url": self.address}

    def prepare(self) -> None:
        """Do nothing: the gateway keeps no files."""

    def launch(self) -> Launch:
        env = {
            "PADDLEWHEEL_GATEWAY_ANONYMOUS_SCOPES": SCOPES,
            **self._inherited,
            **self._servers.environment(),
            "PADDLEWHEEL_GATEWAY_HOST": LOOPBACK,
            "PADDLEWHEEL_GATEWAY_PORT": str(self._port),
        }
        return Launch(argv=(sys.executable, "-m", "gateway"), env=env, cwd=CHECKOUT)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  no other server has this port
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
