"""The HTTP gateway of the checkout, on loopback, where callers need no key."""

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
    """The gateway before one broker and one database. `inherited` is the environment that it starts from."""

    name = "gateway"
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 35.0  # finishes the requests that it has

    def __init__(self, *, servers: Servers, port: int, inherited: Mapping[str, str]) -> None:
        self.address = f"http://{LOOPBACK}:{port}"
        self._servers = servers
        self._port = port
        self._inherited = inherited

    def connection(self) -> dict[str, str]:
        """What a caller has to know."""
        return {"gateway_url": self.address}

    def prepare(self) -> None:
        """The gateway keeps nothing."""

    def launch(self) -> Launch:
        env = {
            "PADDLEWHEEL_GATEWAY_ANONYMOUS_SCOPES": SCOPES,
            **self._inherited,
            **self._servers.environment(),
            "PADDLEWHEEL_GATEWAY_HOST": LOOPBACK,
            "PADDLEWHEEL_GATEWAY_PORT": str(self._port),
        }
        return Launch(argv=(sys.executable, "-m", "gateway"), env=env, cwd=CHECKOUT)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  the port is ours alone
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
