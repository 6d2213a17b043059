"""The state that a stack keeps between commands: ports, passwords and processes, in a folder of its root."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from local import ports
from local.processes import ProcessId
from paddlewheel.errors import ConfigurationError

Phase = Literal["starting", "ready", "restarting", "failed"]


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One service as `status` shows it. `stop_signal` asks its process to shut down cleanly."""

    phase: Phase
    address: str
    stop_signal: int
    process: ProcessId | None = None
    seconds: float | None = None
    restarts: int = 0


@dataclass(kw_only=True)
class StackState:
    """The contents of the state file. `notes` are messages for the user who started the stack."""

    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    supervisor: ProcessId | None = None
    services: dict[str, ServiceStatus] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ready: bool = False

    def port(self, service: str) -> int:
        """The service's port: the last one, or a new one if another process has taken it."""
        kept = self.ports.get(service)
        if kept is None or not ports.is_free(kept):
            self.ports[service] = ports.free_port(frozenset(self.ports.values()))
        return self.ports[service]

    def password(self, service: str) -> str:
        """The service's password, generated at its first start."""
        return self.passwords.setdefault(service, secrets.token_urlsafe(24))

    @classmethod
    def parse(cls, text: str) -> "StackState":
        raw: dict[str, Any] = json.loads(text)
        raw["supervisor"] = _process(raw.get("supervisor"))
        raw["services"] = {
            name: ServiceStatus(**{**status, "process": _process(status.get("process"))})
            for name, status in raw.get("services", {}).items()
        }
        return cls(**raw)


def _process(raw: dict[str, Any] | None) -> ProcessId | None:
    return ProcessId(**raw) if raw else None


class StateFolder:
    """`.paddlewheel` in the root of a stack. Only its owner can read its files."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.path = self.root / ".paddlewheel"
        self.logs = self.path / "logs"
        self.state_file = self.path / "state.json"
        self.connection_file = self.path / "connection.json"

    def create(self) -> None:
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as err:
            raise ConfigurationError(f"{self.path} cannot be created: {err.strerror}.") from err

    def close_to_others(self) -> None:
        """Restrict the folder to its owner; it may have been created with open permissions."""
        self.path.chmod(0o700)

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    def read(self) -> StackState:
        """Read the state file; an empty state if there is none."""
        try:
            return StackState.parse(self.state_file.read_text())
        except FileNotFoundError:
            return StackState()
        except (ValueError, TypeError, AttributeError) as err:
            raise ConfigurationError(
                f"{self.state_file} is damaged: remove it (the next start draws new ports and passwords; "
                "Postgres keeps its old password, so remove its data folder too)."
            ) from err

    def write(self, state: StackState) -> None:
        write_private(self.state_file, json.dumps(asdict(state), indent=1))

    def write_connection(self, connection: Mapping[str, str]) -> None:
        write_private(self.connection_file, json.dumps(dict(connection), indent=1))

    def forget_processes(self) -> None:
        """Keep only the ports and passwords of a stack that has ended."""
        ended = self.read()
        self.connection_file.unlink(missing_ok=True)
        self.write(StackState(ports=ended.ports, passwords=ended.passwords))

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Lock the stack, as its supervisor does while it runs; yields whether the lock was free."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def in_use(self) -> bool:
        """Whether a stack runs from this folder."""
        if not self.path.is_dir():
            return False
        with self.lock() as free:
            return not free


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, readable only by its owner."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
