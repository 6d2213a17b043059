import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.ports import LOOPBACK, free_port
from local.processes import ProcessId
from local.state import ServiceStatus, StackState, StateFolder, write_private
from paddlewheel.errors import ConfigurationError

processes = st.none() | st.builds(ProcessId, pid=st.integers(1, 2**22), born=st.text(min_size=1))
statuses = st.builds(
    ServiceStatus,
    phase=st.sampled_from(["starting", "ready", "restarting", "failed"]),
    address=st.text(),
    stop_signal=st.integers(1, 15),
    process=processes,
    seconds=st.none() | st.floats(0, 100),
    restarts=st.integers(0, 9),
)
states = st.builds(
    StackState,
    ports=st.dictionaries(st.text(), st.integers(1, 65535)),
    passwords=st.dictionaries(st.text(), st.text()),
    supervisor=processes,
    services=st.dictionaries(st.text(), statuses),
    notes=st.lists(st.text()),
    ready=st.booleans(),
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path)
    folder.create()
    return folder


@given(state=states)
def test_a_written_state_is_read_again(tmp_path_factory: pytest.TempPathFactory, state: StackState) -> None:
    folder = StateFolder(tmp_path_factory.mktemp("root"))
    folder.create()
    folder.write(state)
    assert folder.read() == state


def test_before_the_first_start_there_is_an_empty_state(tmp_path: Path) -> None:
    assert StateFolder(tmp_path).read() == StackState()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"unknown": 1}', '{"services": {"valkey": {}}}'])
def test_a_damaged_state_is_refused_with_what_to_do(folder: StateFolder, text: str) -> None:
    folder.state_file.write_text(text)
    with pytest.raises(ConfigurationError, match="remove it"):
        folder.read()


def test_the_folder_and_its_files_are_for_their_owner_alone(folder: StateFolder) -> None:
    folder.path.chmod(0o755)
    folder.close_to_others()
    folder.write(StackState())
    folder.write_connection({"broker_url": "redis://"})
    with folder.lock():
        files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"state.json", "connection.json", "lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.logs.stat().st_mode) == 0o700


def test_a_private_file_was_never_open_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old and open")
    file.chmod(0o666)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ".paddlewheel").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"\.paddlewheel cannot be created"):
        StateFolder(tmp_path).create()


def test_a_port_is_kept_while_nobody_else_has_it() -> None:
    state = StackState()
    port = state.port("valkey")
    assert state.port("valkey") == port
    with socket.create_server((LOOPBACK, port)):
        other = state.port("valkey")
    assert other != port
    assert state.port("valkey") == other


def test_services_never_get_the_same_port() -> None:
    state = StackState(ports={"valkey": free_port()})
    assert state.port("postgres") != state.port("valkey")


def test_a_password_is_long_and_drawn_once_and_never_shown() -> None:
    state = StackState()
    password = state.password("valkey")
    assert len(password) >= 24
    assert state.password("valkey") == password
    assert StackState().password("valkey") != password
    assert password not in repr(state)


def test_the_lock_is_held_by_one_at_a_time(folder: StateFolder) -> None:
    with folder.lock() as first:
        assert first
        assert folder.in_use()
        with folder.lock() as second:
            assert not second
    assert not folder.in_use()


def test_looking_whether_a_stack_runs_makes_no_folder(tmp_path: Path) -> None:
    assert not StateFolder(tmp_path).in_use()
    assert list(tmp_path.iterdir()) == []


def test_a_stack_that_ended_is_remembered_by_its_ports_and_passwords_alone(folder: StateFolder) -> None:
    running = StackState(
        ports={"valkey": 1},
        passwords={"valkey": "x"},
        supervisor=ProcessId(pid=1, born="then"),
        services={"valkey": ServiceStatus(phase="ready", address="here", stop_signal=15)},
        notes=["a note"],
        ready=True,
    )
    folder.write(running)
    folder.write_connection({"broker_url": "redis://"})
    folder.forget_processes()
    assert folder.read() == StackState(ports={"valkey": 1}, passwords={"valkey": "x"})
    assert not folder.connection_file.exists()
