"""The interface of a service in the stack: how to launch it, check its readiness and stop it."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from local.account import Account


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command to run in the foreground. `account` is the account to drop to; None keeps ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    account: Account | None = None


class Service(Protocol):
    """One server or worker of the stack. `address` has no password in it."""

    name: str
    address: str
    stop_signal: signal.Signals
    start_seconds: float
    stop_seconds: float

    def prepare(self) -> None:
        """Create files and folders. Called before every launch; fast if nothing has changed."""

    def launch(self) -> Launch: ...

    def ready(self, pid: int) -> bool:
        """Whether the process with that pid serves requests."""


@runtime_checkable
class WatchedService(Protocol):
    """A service that can hang while its process is alive."""

    def live(self) -> bool:
        """Whether it makes progress. Called only after the service was ready."""
