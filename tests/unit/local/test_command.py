import json
from pathlib import Path

from click.testing import CliRunner

from local.__main__ import main
from local.stack import LocalStack
from tests.unit.local.stand_ins import OBEDIENT, StandIn, drawing


def invoke(root: Path, *arguments: str) -> tuple[int, str]:
    command, *rest = arguments
    result = CliRunner().invoke(main, [command, "--root", str(root), *rest])
    return result.exit_code, result.output


def test_nothing_running_is_said_and_is_not_success(tmp_path: Path) -> None:
    assert invoke(tmp_path, "status") == (1, "Nothing is running: start it with 'make up'.\n")
    assert invoke(tmp_path, "status", "--json") == (1, "{}\n")
    assert invoke(tmp_path, "down") == (0, "Nothing was running.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_running_stack_is_shown_without_secrets(tmp_path: Path) -> None:
    with LocalStack(tmp_path, draw=drawing((StandIn(tmp_path, "one"),))):
        code, shown = invoke(tmp_path, "status", "--json")
        assert code == 0
        assert set(json.loads(shown)["one"]) == {"phase", "address", "pid", "seconds", "restarts"}
        code, shown = invoke(tmp_path, "status")
        assert code == 0
        assert "one" in shown


def test_an_up_that_asks_for_more_than_runs_says_what_is_missing(tmp_path: Path) -> None:
    with LocalStack(tmp_path, draw=drawing((StandIn(tmp_path, "valkey"),))):
        assert invoke(tmp_path, "up", "--only", "valkey") == (0, "Already running: valkey.\n")
        code, shown = invoke(tmp_path, "up", "--workers", "2", "--no-flower")
        assert code == 1
        assert "without postgres, worker-1, worker-2, gateway is running" in shown


def test_choices_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    code, shown = invoke(tmp_path, "up", "--only", "valkey", "--no-flower")
    assert code == 2
    assert "leave --no-flower out" in shown
    code, shown = invoke(tmp_path, "up", "--only", "redis")
    assert code == 1
    assert "There is no service redis" in shown
    assert invoke(tmp_path, "up", "--workers", "0")[0] == 2


def test_logs_are_shown_by_name(tmp_path: Path) -> None:
    service = StandIn(tmp_path, "one", "print('hello from one', flush=True); " + OBEDIENT)
    with LocalStack(tmp_path, draw=drawing((service,))):
        assert invoke(tmp_path, "logs", "one") == (0, "hello from one\n")
        code, shown = invoke(tmp_path, "logs", "two")
        assert code == 1
        assert "no log of two; existing logs: one" in shown
