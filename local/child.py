"""One child process of the stack, in its own session, with its output in a log file."""

import subprocess
from pathlib import Path

from local.account import as_account
from local.processes import ProcessId, kill_group, wait_until
from local.service import Launch
from paddlewheel.errors import OperatorError

LOG_BYTES = 10 * 1024 * 1024


class Child:
    """A running command. Its start time distinguishes it from a later process with the same pid."""

    def __init__(self, launch: Launch, log: Path) -> None:
        _rotate(log)
        try:
            with log.open("ab") as output:
                self._popen = subprocess.Popen(
                    launch.argv,
                    env=dict(launch.env),
                    cwd=launch.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **as_account(launch.account),
                )
        except OSError as err:
            raise OperatorError(f"{launch.argv[0]} could not be started: {err.strerror}.") from err
        # None if the child died at once: it is a zombie then, and has no start time.
        self.process = ProcessId.of(self._popen.pid)
        self.pid = self._popen.pid

    def exit_code(self) -> int | None:
        """The exit code (negative for a signal), None while it runs. Kills what an ended child left."""
        code = self._popen.poll()
        if code is not None:
            kill_group(self.pid)
        return code

    def ask_to_stop(self, signum: int) -> None:
        if self.exit_code() is None:
            self._popen.send_signal(signum)

    def finish(self, seconds: float) -> bool:
        """Wait for the end; kill its whole group after `seconds`. Returns True if it ended by itself."""
        obeyed = wait_until(lambda: self.exit_code() is not None, seconds)
        if not obeyed:
            kill_group(self.pid)
            self._popen.wait()
        return obeyed


def tail(log: Path, lines: int) -> str:
    """The last lines of a log; empty if the log does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - lines * 400))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _rotate(log: Path) -> None:
    """Keep one older log, so that logs do not fill the disk."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
