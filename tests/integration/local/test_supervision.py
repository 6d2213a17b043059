"""The stack as an operator has it: a supervisor in the background, and commands that look at it."""

import json
import os
import signal
from pathlib import Path

import pytest
import redis

from local.processes import ProcessId, wait_until
from local.state import StateFolder
from tests.conftest import RunningServer
from tests.integration.local.commands import connection, local, up


def processes(root: Path) -> dict[str, ProcessId]:
    state = StateFolder(root).read()
    return {name: status.process for name, status in state.services.items() if status.process is not None}


def supervisor(root: Path) -> ProcessId:
    found = StateFolder(root).read().supervisor
    assert found is not None
    return found


def test_up_status_logs_down(root: Path) -> None:
    said = up(root, "--only", "valkey,postgres")
    assert "valkey" in said
    assert "postgres" in said
    shown = local(root, "status", "--json")
    assert shown.returncode == 0
    assert {name: row["phase"] for name, row in json.loads(shown.stdout).items()} == {
        "valkey": "ready",
        "postgres": "ready",
    }
    assert "Ready to accept connections" in local(root, "logs", "valkey").stdout
    running = processes(root)
    assert len(running) == 2
    assert "Stopped" in local(root, "down").stdout
    assert not any(process.alive() for process in running.values())
    assert local(root, "status").returncode == 1
    assert local(root, "down").stdout == "Nothing was running.\n"


def test_a_second_up_finds_everything_running(root: Path) -> None:
    up(root, "--only", "valkey")
    before = processes(root)
    assert up(root, "--only", "valkey") == "Already running: valkey.\n"
    assert processes(root) == before


def test_a_killed_valkey_comes_back_with_its_data_at_the_same_address(root: Path) -> None:
    up(root, "--only", "valkey")
    address = connection(root)["broker_url"]
    killed = processes(root)["valkey"]
    with redis.Redis.from_url(address) as client:
        client.set("key", "kept")
    os.kill(killed.pid, signal.SIGKILL)

    def back() -> bool:
        status = StateFolder(root).read().services["valkey"]
        return status.phase == "ready" and status.process != killed

    assert wait_until(back, 20)
    with redis.Redis.from_url(address) as client:
        assert client.get("key") == b"kept"
    assert connection(root)["broker_url"] == address
    assert "valkey ended with -9 and restarts" in StateFolder(root).log("supervisor").read_text()


def test_a_killed_supervisor_leaves_no_server_running_and_the_next_up_works(root: Path) -> None:
    up(root, "--only", "valkey,postgres")
    orphans = processes(root)
    os.kill(supervisor(root).pid, signal.SIGKILL)
    assert wait_until(lambda: not any(process.alive() for process in orphans.values()), 15)
    assert local(root, "status").returncode == 1
    up(root, "--only", "valkey,postgres")
    assert all(process.alive() for process in processes(root).values())


def test_what_a_killed_supervisor_and_watchdog_left_is_cleaned_up_by_the_next_up(root: Path) -> None:
    up(root, "--only", "valkey")
    orphan, first = processes(root)["valkey"], supervisor(root)
    listed = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    if not listed.exists():
        pytest.skip("the system does not list the children of a process")
    for child in listed.read_text().split():
        if int(child) != orphan.pid:
            os.kill(int(child), signal.SIGKILL)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not first.alive(), 5)
    assert orphan.alive()
    up(root, "--only", "valkey")
    assert not orphan.alive()
    assert processes(root)["valkey"].alive()


def test_an_up_whose_worker_cannot_start_says_why_and_leaves_nothing_running(root: Path) -> None:
    done = local(root, "up", "--only", "valkey,worker", environment={"PADDLEWHEEL_ENGINE": "steam"})
    assert done.returncode == 1
    assert "worker-1 ended with 2 while starting" in done.stderr
    assert "PADDLEWHEEL_ENGINE" in done.stderr
    assert not StateFolder(root).in_use()
    assert processes(root) == {}


def test_the_operator_s_servers_are_found_in_the_environment(root: Path, valkey: RunningServer) -> None:
    own = {"PADDLEWHEEL_BROKER_URL": valkey.url}
    said = up(root, "--only", "valkey,postgres", environment=own)
    assert "postgres" in said
    assert "valkey" not in said
    assert connection(root)["broker_url"] == valkey.url
    local(root, "down")
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
