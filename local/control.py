"""Starts and stops a stack from another process: the supervisor lives on when the command has returned."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from local.checkout import CHECKOUT
from local.processes import POLL_SECONDS, wait_until
from local.stack import end_leftovers
from local.state import ServiceStatus, State, StateFolder
from paddlewheel.errors import OperatorError

STOP_SECONDS = 90.0

Announce = Callable[[str, ServiceStatus], None]


def start(
    folder: StateFolder, arguments: Sequence[str], environment: Mapping[str, str]
) -> "StartingSupervisor":
    """Starts `python -m local supervise` with these arguments, detached from this process."""
    folder.create()
    log = folder.log("supervisor")
    said_before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "local", "supervise", *arguments],
            cwd=CHECKOUT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return StartingSupervisor(folder, supervisor, said_before)


class StartingSupervisor:
    """A supervisor of ours on its way up."""

    def __init__(self, folder: StateFolder, supervisor: subprocess.Popen[bytes], said_before: int) -> None:
        self._folder = folder
        self._supervisor = supervisor
        self._said_before = said_before

    def wait(self, announce: Announce) -> State:
        """Announces every service once it is ready, and returns when all are.

        Raises OperatorError, with what the supervisor said, if one fails.
        """
        announced: set[str] = set()
        while True:
            ended = self._supervisor.poll() is not None
            state = self._folder.read()
            if ended:
                raise OperatorError(self._said())
            if state.supervisor and state.supervisor.pid == self._supervisor.pid:
                _announce_new(state, announced, announce)
                if state.ready:
                    return state
            time.sleep(POLL_SECONDS)

    def _said(self) -> str:
        """What the supervisor wrote before it ended."""
        with self._folder.log("supervisor").open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode(errors="replace").strip().removeprefix("Error: ")


def wait_for_other(folder: StateFolder) -> State:
    """Waits until a stack that somebody else started is ready. Raises OperatorError if it ends instead."""
    while folder.in_use():
        state = folder.read()
        if state.ready:
            return state
        time.sleep(POLL_SECONDS)
    raise OperatorError(f"The stack ended while it was starting: see {folder.log('supervisor')}.")


def stop(folder: StateFolder) -> list[str]:
    """Ends the stack of the folder, or what a killed one left behind; returns the services that it had."""
    if not folder.path.is_dir():
        return []
    # A supervisor takes the lock a moment before it writes down who it is.
    wait_until(lambda: _known(folder.read()) or not folder.in_use(), 5)
    state = folder.read()
    if state.supervisor and folder.in_use():
        state.supervisor.stop(signal.SIGTERM, STOP_SECONDS)
    end_leftovers(state)
    if not wait_until(lambda: not folder.in_use(), 5):
        raise OperatorError(f"The stack of {folder.root} does not stop: see {folder.log('supervisor')}.")
    folder.forget_processes()
    return list(state.services)


def _known(state: State) -> bool:
    return state.supervisor is not None and state.supervisor.alive()


def _announce_new(state: State, announced: set[str], announce: Announce) -> None:
    for name, status in state.services.items():
        if status.phase == "ready" and name not in announced:
            announced.add(name)
            announce(name, status)
