"""Ends the children of a stack whose supervisor died without stopping them.

The watchdog is a process that reads from a pipe. The supervisor writes a line for each child, and the pipe
closes when the supervisor ends for any reason. This works the same on Linux and macOS.

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


class StackWatchdog:
    """Starts the watchdog, and writes to it for the supervisor."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-E", "-s", "-S", "-m", "local.watchdog"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt from the terminal must reach only the supervisor
        )
        assert self._popen.stdin is not None  # noqa: S101  it was asked for above
        self._pipe = self._popen.stdin
        self.pid = self._popen.pid

    def watch(self, process: ProcessId, stop_signal: int) -> None:
        self._write(f"watch {process.pid} {process.born} {stop_signal}")

    def quit(self) -> None:
        """Stop the watchdog. Call this after the children have ended."""
        self._write("quit")
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._popen.wait(timeout=GRACE_SECONDS)

    def _write(self, line: str) -> None:
        # The watchdog may have been killed: the stack works without it.
        with contextlib.suppress(BrokenPipeError):
            print(line, file=self._pipe, flush=True)


def keep_watch(lines: Iterable[str]) -> None:
    """Read until the pipe closes. Without a `quit` the supervisor has died, so end its children."""
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
    """Send each process its stop signal, and kill those that outlive the grace period."""
    signalled = [process for process, stop_signal in processes if process.send(stop_signal)]
    wait_until(lambda: not any(process.alive() for process in signalled), GRACE_SECONDS)
    for process in signalled:
        if process.alive():
            kill_group(process.pid)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_watch(sys.stdin)
