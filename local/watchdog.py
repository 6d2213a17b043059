"""Ends the children of a stack whose supervisor died without ending them.

A process of its own that reads from a pipe. The supervisor tells it on each line about a child, and the
pipe closes when the supervisor is gone, however it went. Works the same on Linux and macOS.

    watch PID BORN SIGNAL
    quit
"""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterable

from local.checkout import CHECKOUT
from local.processes import ProcessId, kill_group, wait_until

GRACE_SECONDS = 5.0


class Watchdog:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-E", "-s", "-S", "-m", "local.watchdog"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt from the terminal is for the supervisor
        )
        assert self._popen.stdin is not None  # noqa: S101  it was asked for above
        self._pipe = self._popen.stdin
        self.pid = self._popen.pid

    def watch(self, process: ProcessId, stop_signal: int) -> None:
        self._tell(f"watch {process.pid} {process.born} {stop_signal}")

    def quit(self) -> None:
        """To be called when the children have ended."""
        self._tell("quit")
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._popen.wait(timeout=GRACE_SECONDS)

    def _tell(self, line: str) -> None:
        # Somebody may have killed the watchdog: the stack works without it.
        with contextlib.suppress(BrokenPipeError):
            print(line, file=self._pipe, flush=True)


def keep_watch(lines: Iterable[str]) -> None:
    """Reads until the pipe closes; without a `quit` the supervisor is dead and the children are ended."""
    watched: list[tuple[ProcessId, int]] = []
    for line in lines:
        match line.split():
            case ["watch", pid, born, stop_signal]:
                process = ProcessId(pid=int(pid), born=born)
                watched = [pair for pair in watched if pair[0].alive()]
                watched.append((process, int(stop_signal)))
            case ["quit"]:
                return
    end_all(watched[::-1])


def end_all(processes: list[tuple[ProcessId, int]]) -> None:
    """Asks all of them to end, and kills those that do not within the grace period."""
    asked = [process for process, stop_signal in processes if process.send(stop_signal)]
    wait_until(lambda: not any(process.alive() for process in asked), GRACE_SECONDS)
    for process in asked:
        if process.alive():
            kill_group(process.pid)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_watch(sys.stdin)
