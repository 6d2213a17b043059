import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.processes import ProcessId
from local.servers import Servers
from local.stack import LocalStack
from local.state import ServiceStatus, StackState, StateFolder
from paddlewheel.errors import ConfigurationError, OperatorError
from tests.unit.local.stand_ins import OBEDIENT, SHORT_LIVED, STUBBORN, StandIn, drawing


def test_services_start_stage_by_stage_and_all_end(tmp_path: Path) -> None:
    first, second = StandIn(tmp_path, "first"), StandIn(tmp_path, "second")
    stack = LocalStack(tmp_path, draw=drawing((first,), (second,)))
    with stack:
        assert [member.service.name for member in stack.members] == ["first", "second"]
        running = StateFolder(tmp_path).read()
        assert running.ready
        assert running.supervisor == ProcessId.of(os.getpid())
        processes = [status.process for status in running.services.values()]
        assert all(process is not None and process.alive() for process in processes)
        assert json.loads((tmp_path / ".paddlewheel/connection.json").read_text()) == {
            "broker_url": "redis://stand-in"
        }
    assert not any(process is not None and process.alive() for process in processes)
    assert StateFolder(tmp_path).read() == StackState()
    assert not (tmp_path / ".paddlewheel/connection.json").exists()


def test_a_stage_waits_until_the_one_before_is_ready(tmp_path: Path) -> None:
    slow = StandIn(tmp_path, "slow", f"import time; time.sleep(0.3); {OBEDIENT}")
    seen: list[bool] = []

    class Second(StandIn):
        def prepare(self) -> None:
            seen.append(slow.ready_file.exists())
            super().prepare()

    with LocalStack(tmp_path, draw=drawing((slow,), (Second(tmp_path, "second"),))):
        assert seen == [True]


def test_a_service_that_ends_while_starting_fails_the_start_with_its_log(tmp_path: Path) -> None:
    other = StandIn(tmp_path, "other")
    stack = LocalStack(tmp_path, draw=drawing((other,), (StandIn(tmp_path, "broken", SHORT_LIVED),)))
    with pytest.raises(OperatorError, match=r"broken ended with 3 while starting(?s:.*)no reason to live"):
        stack.start()
    assert stack.members == []
    assert not stack.folder.in_use()
    assert StateFolder(tmp_path).read() == StackState()


def test_a_service_that_takes_too_long_fails_the_start(tmp_path: Path) -> None:
    slow = StandIn(tmp_path, "slow", "import time; time.sleep(600)")
    slow.start_seconds = 0.2
    with pytest.raises(OperatorError, match=r"slow was not ready in 0\.2 s"):
        LocalStack(tmp_path, draw=drawing((slow,))).start()


def test_a_start_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    slow = StandIn(tmp_path, "slow", "import time; time.sleep(600)")
    with pytest.raises(OperatorError, match="Stopped before"):
        LocalStack(tmp_path, draw=drawing((slow,))).start(given_up=lambda: True)


def test_a_service_that_does_not_obey_is_killed_in_bounded_time(tmp_path: Path) -> None:
    stubborn = StandIn(tmp_path, "stubborn", STUBBORN)
    with LocalStack(tmp_path, draw=drawing((stubborn,))) as stack:
        process = ProcessId.of(stack.members[0].child.pid) if stack.members[0].child else None
        assert process is not None
    assert not process.alive()


def test_one_root_has_one_stack_at_a_time(tmp_path: Path) -> None:
    with LocalStack(tmp_path, draw=drawing((StandIn(tmp_path, "one"),))) as running:
        with pytest.raises(ConfigurationError, match="already runs"):
            LocalStack(tmp_path, draw=drawing()).start()
        assert running.members[0].exit_code() is None
        assert running.folder.read().ready


def test_leftovers_of_a_killed_stack_end_before_a_new_start_and_strangers_do_not(tmp_path: Path) -> None:
    def sleeper() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )

    folder = StateFolder(tmp_path)
    folder.create()
    with sleeper() as leftover, sleeper() as stranger:
        born = ProcessId.of(leftover.pid)
        number_reused = ProcessId(pid=stranger.pid, born="long ago")
        folder.write(
            StackState(
                services={
                    name: ServiceStatus(phase="ready", address="", stop_signal=15, process=process)
                    for name, process in (("valkey", born), ("postgres", number_reused))
                }
            )
        )
        with LocalStack(tmp_path, draw=drawing()):
            assert leftover.wait(5) == -15
            assert ProcessId.of(stranger.pid) is not None
        stranger.kill()


def test_an_ephemeral_stack_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with LocalStack(root, draw=drawing((StandIn(tmp_path, "one"),)), ephemeral=True):
        assert (root / ".paddlewheel/logs/one.log").exists()
    assert list(root.iterdir()) == []


def test_an_operator_s_server_that_does_not_answer_keeps_the_stack_from_starting(tmp_path: Path) -> None:
    service = StandIn(tmp_path, "one")
    own = Servers(broker_url="redis://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"Nothing listens at 127\.0\.0\.1:1"):
        LocalStack(tmp_path, services={"worker"}, servers=own, draw=drawing((service,))).start()
    assert service.launches == 0


def test_stopping_twice_does_no_harm(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, draw=drawing((StandIn(tmp_path, "one"),)))
    stack.start()
    stack.stop()
    stack.stop()
    assert not stack.folder.in_use()
