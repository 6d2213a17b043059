import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local import member as members
from local.member import Member
from local.processes import kill_group, wait_until
from local.stack import LocalStack
from local.supervisor import Supervisor
from tests.unit.local.stand_ins import LATER, OBEDIENT, StandIn, drawing

Run = Callable[[StandIn], tuple[Supervisor, Member]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    stacks: list[LocalStack] = []

    def start(service: StandIn) -> tuple[Supervisor, Member]:
        stack = LocalStack(tmp_path, draw=drawing((service,)))
        stack.start()
        stacks.append(stack)
        return Supervisor(stack, logging.getLogger("test")), stack.members[0]

    yield start
    for stack in stacks:
        stack.stop()


def kill(member: Member) -> None:
    assert member.child is not None
    kill_group(member.child.pid)


def test_a_service_that_was_killed_is_started_again_and_becomes_ready(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = StandIn(tmp_path, "one")
    supervisor, member = run(service)

    def tended(phase: str) -> bool:
        supervisor.tend(member)
        return member.phase == phase

    kill(member)
    assert wait_until(lambda: tended("restarting"), 5)
    assert wait_until(lambda: tended("ready"), 10)
    assert service.launches == 2
    assert member.status().restarts == 1
    assert "one ended with -9 and restarts" in caplog.text
    assert "one is ready after" in caplog.text


class Stuck(StandIn):
    """Lives, is ready, and does nothing."""

    stuck = False

    def live(self) -> bool:
        return not self.stuck

    def prepare(self) -> None:
        super().prepare()
        self.stuck = False


def test_a_service_that_is_stuck_is_ended_and_started_again(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    service = Stuck(tmp_path, "one")
    supervisor, member = run(service)
    supervisor.tend(member)
    assert member.phase == "ready"
    service.stuck = True

    def tended(phase: str) -> bool:
        supervisor.tend(member)
        return member.phase == phase

    assert wait_until(lambda: tended("restarting"), 5)
    assert wait_until(lambda: tended("ready"), 10)
    assert service.launches == 2
    assert "one hangs and is killed" in caplog.text


def test_a_service_that_fails_too_often_is_given_up(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(members, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(members, "FAILURES", 2)
    service = StandIn(tmp_path, "one", LATER.format(later="sys.exit(5)") + OBEDIENT)
    supervisor, member = run(service)
    kill(member)

    def given_up() -> bool:
        supervisor.tend(member)
        return member.phase == "failed"

    assert wait_until(given_up, 10)
    assert service.launches == 3
    assert "one ended with 5 and is not restarted" in caplog.text
    supervisor.tend(member)
    assert service.launches == 3


def test_a_service_that_hangs_while_starting_again_is_killed(tmp_path: Path, run: Run) -> None:
    service = StandIn(tmp_path, "one", LATER.format(later="time.sleep(600)") + OBEDIENT)
    supervisor, member = run(service)
    service.start_seconds = 0.2
    kill(member)

    def failed_twice() -> bool:
        supervisor.tend(member)
        return member.restarts.total >= 2

    assert wait_until(failed_twice, 10)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_supervisor_ends_everything_when_it_is_asked_to_stop(
    tmp_path: Path, signum: signal.Signals
) -> None:
    service = StandIn(tmp_path, "one")
    stack = LocalStack(tmp_path, draw=drawing((service,)))
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def ask_once_ready() -> None:
        wait_until(lambda: stack.state.ready, 10)
        signal.pthread_kill(threading.main_thread().ident or 0, signum)

    asker = threading.Thread(target=ask_once_ready)
    asker.start()
    try:
        Supervisor(stack, logging.getLogger("test")).run()
    finally:
        asker.join()
        for each, handler in kept.items():
            signal.signal(each, handler)
    assert stack.members == []
    assert not stack.folder.in_use()
