import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local.processes import ProcessId, wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    ) as child:
        yield child
        child.kill()


def identity(pid: int) -> ProcessId:
    found = ProcessId.of(pid)
    assert found is not None
    return found


def test_a_running_process_is_the_same_at_every_look() -> None:
    assert identity(os.getpid()) == identity(os.getpid())
    assert identity(os.getpid()).alive()


def test_a_process_that_has_ended_is_not_alive_even_before_it_is_reaped(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = identity(sleeper.pid)
    sleeper.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not process.alive(), 5)
    assert ProcessId.of(sleeper.pid) is None


def test_a_number_that_now_belongs_to_another_process_is_never_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    earlier = ProcessId(pid=sleeper.pid, born="another boot:1")
    assert not earlier.alive()
    assert not earlier.send(signal.SIGKILL)
    assert earlier.stop(signal.SIGKILL, 1)
    assert identity(sleeper.pid).alive()


def test_stop_asks_first_and_says_whether_the_process_obeyed(sleeper: subprocess.Popen[bytes]) -> None:
    assert identity(sleeper.pid).stop(signal.SIGTERM, 5)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_stop_kills_a_process_that_does_not_obey_in_time(sleeper: subprocess.Popen[bytes]) -> None:
    harmless = signal.SIGCONT
    assert not identity(sleeper.pid).stop(harmless, 0.05)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_waiting_ends_when_the_time_is_up() -> None:
    assert wait_until(lambda: True, 0)
    assert not wait_until(lambda: False, 0.02)
