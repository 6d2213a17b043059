import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local import watchdog
from local.checkout import CHECKOUT
from local.processes import ProcessId, wait_until
from local.watchdog import StackWatchdog, keep_watch

OBEDIENT = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


class Started:
    def __init__(self, program: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.popen.stdout is not None
        assert self.popen.stdout.readline() == b"up\n"
        found = ProcessId.of(self.popen.pid)
        assert found is not None
        self.process = found

    def line(self, born: str | None = None) -> str:
        return f"watch {self.process.pid} {born or self.process.born} {int(signal.SIGTERM)}\n"


@pytest.fixture
def obedient() -> Iterator[Started]:
    started = Started(OBEDIENT)
    with started.popen:
        yield started
        started.popen.kill()


@pytest.fixture
def stubborn() -> Iterator[Started]:
    started = Started(STUBBORN)
    with started.popen:
        yield started
        started.popen.kill()


def test_children_end_when_the_pipe_closes_without_a_word(obedient: Started) -> None:
    keep_watch([obedient.line()])
    assert obedient.popen.wait(5) == -signal.SIGTERM


def test_children_that_do_not_obey_are_killed(stubborn: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.05)
    keep_watch([stubborn.line()])
    assert stubborn.popen.wait(5) == -signal.SIGKILL


def test_children_are_left_alone_after_an_orderly_end(obedient: Started) -> None:
    keep_watch([obedient.line(), "quit\n"])
    assert obedient.process.alive()


def test_a_stranger_with_a_child_s_number_is_left_alone(obedient: Started) -> None:
    keep_watch([obedient.line(born="another-boot:7")])
    assert obedient.process.alive()


def test_the_watchdog_outlives_the_supervisor_and_ends_the_children(obedient: Started) -> None:
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from local.processes import ProcessId\n"
            "from local.watchdog import StackWatchdog\n"
            "process = ProcessId.of(int(sys.argv[1]))\n"
            "StackWatchdog().watch(process, 15)\n"
            "print('watching', flush=True)\n"
            "time.sleep(600)\n",
            str(obedient.process.pid),
        ],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        env=dict(os.environ),
    )
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"watching\n"
        supervisor.kill()
    assert obedient.popen.wait(10) == -signal.SIGTERM


def test_a_watchdog_that_was_killed_does_not_disturb_the_stack(obedient: Started) -> None:
    guard = StackWatchdog()
    os.kill(guard.pid, signal.SIGKILL)
    wait_until(lambda: ProcessId.of(guard.pid) is None, 5)
    guard.watch(obedient.process, signal.SIGTERM)
    guard.quit()
    assert wait_until(obedient.process.alive, 1)
