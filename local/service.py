"""What the stack asks of a service: how to launch it, how to see that it is ready, how to end it."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from local.account import Account


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command to run in the foreground. `account` is whom the process drops to, None to stay who we are."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    account: Account | None = None


class Service(Protocol):
    """One server or worker of the stack. `address` is where it is found, without any password."""

    name: str
    address: str
    stop_signal: signal.Signals
    start_seconds: float
    stop_seconds: float

    def prepare(self) -> None:
        """Makes files and folders ready. Called before every launch; quick when nothing is new."""

    def launch(self) -> Launch: ...

    def ready(self, pid: int) -> bool:
        """Whether the process of that number serves."""


@runtime_checkable
class WatchedService(Protocol):
    """A service that can be stuck while its process lives."""

    def live(self) -> bool:
        """Whether it is not stuck. Asked of a service that was ready."""
