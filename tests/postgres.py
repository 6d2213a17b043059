"""A real Postgres 18 that a test may stop and start again, for tests and benchmarks."""

import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from local.account import as_account
from local.ports import free_port
from local.postgres import Postgres, remove_home

_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    """The server of a local stack, `fsync` on, with settings of one's own. It is reached by a Unix socket."""

    def __init__(self, *settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="paddlewheel-postgres-"))
        self._port = free_port()
        self._password = secrets.token_hex(16)
        self._service = Postgres(self._folder, port=self._port, password=self._password)
        self._service.prepare()
        self._launch = self._service.launch()
        self._data = Path(self._launch.argv[self._launch.argv.index("-D") + 1])
        self._settings = (f"unix_socket_directories={self._data}", *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str = "paddlewheel") -> str:
        """Over the Unix socket, as a worker on the same machine would."""
        return f"postgresql://paddlewheel:{self._password}@/{database}?host={self._data}&port={self._port}"

    def start(self) -> None:
        """Return when the server takes connections, after any recovery."""
        self._service.prepare()
        options = [part for setting in self._settings for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launch.argv, *options],
                env=self._launch.env,
                cwd=self._launch.cwd,
                stdout=log,
                stderr=log,
                **as_account(self._launch.account),
            )
        deadline = time.monotonic() + self._service.start_seconds
        while not self._service.ready(self._process.pid):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "Postgres did not start"
            time.sleep(0.02)

    def stop(self, mode: str = "fast") -> None:
        """`immediate` ends it without a checkpoint, as a power cut does."""
        assert self._process is not None
        self._process.send_signal(_SIGNALS[mode])
        self._process.wait(timeout=60)

    def close(self) -> None:
        """Stop it and delete its data."""
        self.stop("immediate")
        remove_home(self._folder)
        shutil.rmtree(self._folder)
