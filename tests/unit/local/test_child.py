import os
import sys
from pathlib import Path

import pytest

from local import child as children
from local.child import Child, tail
from local.processes import ProcessId, wait_until
from local.service import Launch
from paddlewheel.errors import OperatorError


def start(folder: Path, program: str, *arguments: str) -> Child:
    launch = Launch(
        argv=(sys.executable, "-c", program, *arguments), env={"PATH": os.defpath, "GIVEN": "yes"}, cwd=folder
    )
    return Child(launch, folder / "child.log")


def test_what_a_child_prints_goes_to_its_log(tmp_path: Path) -> None:
    child = start(
        tmp_path, "import os, sys; print(sorted(os.environ)); print('oops', file=sys.stderr); sys.exit(4)"
    )
    assert wait_until(lambda: child.exit_code() == 4, 10)
    printed = (tmp_path / "child.log").read_text()
    assert "'GIVEN'" in printed
    assert "'HOME'" not in printed
    assert "oops" in printed


def test_a_child_that_does_not_end_in_time_is_killed_with_what_it_started(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(sys.argv[1]).write_text(f"{grandchild.pid}\\n")
        time.sleep(600)
    """
    note = tmp_path / "grandchild"
    child = start(tmp_path, program, str(note))
    assert wait_until(lambda: note.exists() and note.read_text().endswith("\n"), 10)
    grandchild = ProcessId.of(int(note.read_text()))
    assert grandchild is not None
    child.ask_to_stop(15)
    assert not child.finish(0.1)
    assert wait_until(lambda: not grandchild.alive(), 5)


def test_what_a_child_leaves_running_ends_with_it(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, subprocess, sys
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(sys.argv[1]).write_text(str(grandchild.pid))
    """
    child = start(tmp_path, program, str(tmp_path / "grandchild"))
    assert wait_until(lambda: child.exit_code() == 0, 10)
    grandchild = int((tmp_path / "grandchild").read_text())
    assert wait_until(lambda: ProcessId.of(grandchild) is None, 5)


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    launch = Launch(argv=("/nonexistent/server",), env={}, cwd=tmp_path)
    with pytest.raises(OperatorError, match="/nonexistent/server could not be started"):
        Child(launch, tmp_path / "child.log")


def test_the_environment_of_a_launch_is_not_shown(tmp_path: Path) -> None:
    launch = Launch(argv=("server",), env={"PASSWORD": "secret"}, cwd=tmp_path)
    assert "secret" not in repr(launch)


def test_a_long_log_is_put_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_BYTES", 10)
    log = tmp_path / "child.log"
    log.write_text("the log of last year\n")
    child = start(tmp_path, "print('new')")
    assert wait_until(lambda: child.exit_code() == 0, 10)
    assert log.read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "the log of last year\n"


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert tail(log, 3) == ""
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)) + b"\xff\n")
    assert tail(log, 3) == "line 998\nline 999\n�"
