"""Starts and stops a stack from another process. The supervisor keeps running after the command returns."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from local.checkout import CHECKOUT
from local.processes import POLL_SECONDS, wait_until
from local.stack import end_leftovers
from local.state import ServiceStatus, StackState, StateFolder
from paddlewheel.errors import OperatorError

STOP_SECONDS = 90.0

Announce = Callable[[str, ServiceStatus], None]


def start(
    folder: StateFolder, arguments: Sequence[str], environment: Mapping[str, str]
) -> "StartingSupervisor":
    """Start `python -m local supervise` with these arguments, detached from this process."""
    folder.create()
    log = folder.log("supervisor")
    log_start = log.stat().st_size if log.exists() else 0
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
    return StartingSupervisor(folder, supervisor, log_start)


class StartingSupervisor:
    """A supervisor that this process started and that is not ready yet."""

    def __init__(self, folder: StateFolder, supervisor: subprocess.Popen[bytes], log_start: int) -> None:
        self._folder = folder
        self._supervisor = supervisor
        self._log_start = log_start

    def wait(self, announce: Announce) -> StackState:
        """Announce each service when it is ready, and return when all are.

        Raises OperatorError with the supervisor's output if a service fails.
        """
        announced: set[str] = set()
        while True:
            ended = self._supervisor.poll() is not None
            state = self._folder.read()
            if ended:
                raise OperatorError(self._output())
            if state.supervisor and state.supervisor.pid == self._supervisor.pid:
                _announce_new(state, announced, announce)
                if state.ready:
                    return state
            time.sleep(POLL_SECONDS)

    def _output(self) -> str:
        """The supervisor's output since it was started."""
        with self._folder.log("supervisor").open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace").strip().removeprefix("Error: ")


def wait_for_other(folder: StateFolder) -> StackState:
    """Wait until a stack that another process started is ready. Raises OperatorError if it ends instead."""
    while folder.in_use():
        state = folder.read()
        if state.ready:
            return state
        time.sleep(POLL_SECONDS)
    raise OperatorError(f"The stack ended while it was starting: see {folder.log('supervisor')}.")


def stop(folder: StateFolder) -> list[str]:
    """Stop the folder's stack, or the processes that a killed one left. Returns the names of its services."""
    if not folder.path.is_dir():
        return []
    # A supervisor takes the lock shortly before it records its own process.
    wait_until(lambda: _has_supervisor(folder.read()) or not folder.in_use(), 5)
    state = folder.read()
    if state.supervisor and folder.in_use():
        state.supervisor.stop(signal.SIGTERM, STOP_SECONDS)
    end_leftovers(state)
    if not wait_until(lambda: not folder.in_use(), 5):
        raise OperatorError(f"The stack of {folder.root} did not stop: see {folder.log('supervisor')}.")
    folder.forget_processes()
    return list(state.services)


def _has_supervisor(state: StackState) -> bool:
    return state.supervisor is not None and state.supervisor.alive()


def _announce_new(state: StackState, announced: set[str], announce: Announce) -> None:
    for name, status in state.services.items():
        if status.phase == "ready" and name not in announced:
            announced.add(name)
            announce(name, status)
