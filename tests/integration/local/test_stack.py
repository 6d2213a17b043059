import socket
import stat
import time
from pathlib import Path

import pytest
import redis

from local import ports
from local.ports import LOOPBACK
from local.servers import Servers
from local.stack import LocalStack
from local.state import StackState, StateFolder
from tests.conftest import RunningServer

STORES = {"valkey", "postgres"}


def seconds_to_start(root: Path) -> float:
    began = time.monotonic()
    with LocalStack(root, services=STORES):
        return time.monotonic() - began


def test_a_second_start_takes_less_than_a_second(root: Path) -> None:
    seconds_to_start(root)
    assert min(seconds_to_start(root) for _ in range(3)) < 1


def test_two_stacks_side_by_side_do_not_meet(root: Path, other_root: Path) -> None:
    with LocalStack(root, services=STORES) as one, LocalStack(other_root, services=STORES) as other:
        with (
            redis.Redis.from_url(one.servers.broker_url) as first,
            redis.Redis.from_url(other.servers.broker_url) as second,
        ):
            first.set("mine", "1")
            assert second.get("mine") is None
        ports = [*one.state.ports.values(), *other.state.ports.values()]
        assert len(set(ports)) == 4


def test_a_port_that_somebody_took_since_is_replaced_for_good(root: Path) -> None:
    with LocalStack(root, services={"valkey"}) as stack:
        kept = stack.state.ports["valkey"]
    with LocalStack(root, services={"valkey"}) as stack:
        assert stack.state.ports["valkey"] == kept
    with socket.create_server((LOOPBACK, kept)), LocalStack(root, services={"valkey"}) as stack:
        moved = stack.state.ports["valkey"]
        assert moved != kept
        with redis.Redis.from_url(stack.servers.broker_url) as client:
            assert client.ping()
    assert StateFolder(root).read().ports["valkey"] == moved


def test_a_port_that_is_taken_between_the_look_and_the_start_is_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((LOOPBACK, 0)) as thief:
        taken = thief.getsockname()[1]
        folder = StateFolder(root)
        folder.create()
        folder.write(StackState(ports={"valkey": taken}))
        really_free, looks = ports.is_free, iter([True])
        monkeypatch.setattr(ports, "is_free", lambda port: next(looks, False) or really_free(port))
        with LocalStack(root, services={"valkey"}) as stack:
            assert next(looks, None) is None
            assert stack.state.ports["valkey"] != taken


def test_an_operator_s_own_broker_is_used_in_place_of_ours(root: Path, valkey: RunningServer) -> None:
    with LocalStack(root, services=STORES, servers=Servers(broker_url=valkey.url)) as stack:
        assert [member.service.name for member in stack.members] == ["postgres"]
        assert stack.servers.broker_url == stack.servers.blob_url == valkey.url
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()


def test_what_the_stack_writes_is_for_its_owner_alone(root: Path) -> None:
    with LocalStack(root, services=STORES) as stack:
        folder = stack.folder
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
        assert stat.S_IMODE(folder.path.stat().st_mode) in (0o700, 0o711)
    assert {path.name for path in modes} >= {
        "state.json",
        "connection.json",
        "lock",
        "logs",
        "valkey",
        "valkey.conf",
    }
    assert {mode & 0o077 for mode in modes.values()} == {0}


def test_no_password_can_be_read_from_the_list_of_processes(root: Path) -> None:
    commands = list(Path("/proc").glob("[0-9]*/cmdline"))
    if not commands:
        pytest.skip("the system does not show its processes as files")
    with LocalStack(root, services={"valkey", "postgres", "flower"}) as stack:
        secrets = [password.encode() for password in stack.state.passwords.values()]
        commands = list(Path("/proc").glob("[0-9]*/cmdline"))
        shown = b"".join(_read(command) for command in commands)
        children = [member.child.pid for member in stack.members if member.child]
    assert all(Path(f"/proc/{pid}/cmdline") in commands for pid in children)
    assert len(secrets) == 3
    assert not any(secret in shown for secret in secrets)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
