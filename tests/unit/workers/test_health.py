"""The questions of probes, and the files that answer them."""

import os
import time
from pathlib import Path

import pytest

from paddlewheel.errors import ConfigurationError
from workers.consumer.readiness import HealthFiles
from workers.consumer.shutdown import Shutdown
from workers.health import live_fault, ready_fault


def test_a_worker_is_ready_while_its_file_is_there(tmp_path: Path) -> None:
    files = HealthFiles(tmp_path / "ready", None)
    assert ready_fault(tmp_path / "ready") == "it takes no tasks"
    files.set_ready(True)
    assert ready_fault(tmp_path / "ready") is None
    files.set_ready(False)
    assert ready_fault(tmp_path / "ready") == "it takes no tasks"


def test_a_worker_is_live_while_its_file_is_young(tmp_path: Path) -> None:
    live = tmp_path / "live"
    assert live_fault(live, 10, time.time()) == "it does not run"
    files = HealthFiles(None, live)
    assert live_fault(live, 10, time.time()) is None
    os.utime(live, (1000, 1000))
    assert live_fault(live, 10, 1031) == "its loop has not turned for 31 s"
    files.beat()
    assert live_fault(live, 10, time.time()) is None
    files.close()
    assert live_fault(live, 10, time.time()) == "it does not run"


def test_a_file_that_an_earlier_worker_left_does_not_make_a_new_one_ready(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("ready\n")
    HealthFiles(tmp_path / "ready", None)
    assert ready_fault(tmp_path / "ready") is not None


def test_a_question_without_a_file_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_READY_FILE"):
        ready_fault(None)
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_LIVE_FILE"):
        live_fault(None, 1, 0)


def test_asking_to_stop_gives_time_and_asking_again_takes_it() -> None:
    now = [100.0]
    shutdown = Shutdown(3600, clock=lambda: now[0])
    assert (shutdown.requested, shutdown.overdue) == (False, False)
    shutdown.request()
    assert (shutdown.requested, shutdown.overdue) == (True, False)
    now[0] = 3699.0
    assert (shutdown.requested, shutdown.overdue) == (True, False)
    now[0] = 3700.0
    assert (shutdown.requested, shutdown.overdue) == (True, True)
    now[0] = 101.0
    shutdown.request()
    assert (shutdown.requested, shutdown.overdue) == (True, True)
