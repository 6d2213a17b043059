"""Real engines, each in a process of its own, tried on real models."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workers.models.engines.choice import EngineChoice, read_choice
from workers.models.engines.selection import EngineSelection
from workers.models.engines.session import SessionOptions
from workers.models.engines.trial_process import EngineTrialProcess, TrialFailedError
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome

V4_REC, V6_REC = "PP-OCRv4_mobile_rec", "PP-OCRv6_small_rec"


def select(home: ModelHome, kept: Path, name: str, opener: str = "open_engine") -> EngineChoice:
    """Choose an engine, and read what was kept of it."""
    module = "workers.models.engines.trial" if opener == "open_engine" else "tests.faulty_engines"
    directory = home.open(name)
    model = TextRecognition.open(directory)
    with EngineSelection(kept, seconds=120, environment={}, opener=f"{module}:{opener}") as selection:
        options = selection.options_for(directory, model, SessionOptions(threads=1), (1, 4))
    choice = read_choice(kept, name)
    assert choice is not None
    assert options.engine == choice.engine
    return choice


@pytest.mark.parametrize(
    ("model", "reference", "other"), [(V4_REC, "paddle", "openvino"), (V6_REC, "onnxruntime", "openvino")]
)
def test_engines_that_agree_are_chosen_by_their_speed(
    home: ModelHome, tmp_path: Path, model: str, reference: str, other: str
) -> None:
    choice = select(home, tmp_path, model)
    figures = {each.engine: each for each in choice.figures}
    assert choice.reference == reference
    assert set(figures) == {reference, other}
    assert not any(each.refused for each in figures.values())
    assert all(set(each.milliseconds) == {1, 4} for each in figures.values())
    assert 0 < (figures[other].difference or 0) < choice.tolerance / 10  # type: ignore[index]
    slowest = max(figures.values(), key=lambda each: sum(each.milliseconds.values()))
    fastest = min(figures.values(), key=lambda each: sum(each.milliseconds.values()))
    if sum(slowest.milliseconds.values()) > 1.05 * sum(fastest.milliseconds.values()):
        assert choice.engine == fastest.engine


@pytest.mark.parametrize(
    ("opener", "reason"),
    [("open_wrong", "differ from paddle's by 0.01"), ("open_crashing", "died with status -11")],
)
def test_an_engine_that_is_wrong_or_crashes_is_refused_and_the_worker_lives(
    home: ModelHome, tmp_path: Path, opener: str, reason: str
) -> None:
    choice = select(home, tmp_path, V4_REC, opener)
    assert choice.engine == "paddle"
    refused = {each.engine: each.refused for each in choice.figures}
    assert refused["paddle"] is None
    assert reason in (refused["openvino"] or "")


def test_damaged_weights_are_refused_in_words(home: ModelHome, tmp_path: Path) -> None:
    source = home.open(V4_REC).path
    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged)
    (damaged / "inference.pdmodel").write_bytes(b"\x00" * 100)
    with EngineTrialProcess("openvino", {}) as trial:
        trial.start()
        with pytest.raises(TrialFailedError, match="openvino cannot load"):
            trial.open(damaged, SessionOptions(engine="openvino"), [], tmp_path, timeout=60)


def test_an_engine_that_hangs_is_given_up_and_its_process_ended(home: ModelHome, tmp_path: Path) -> None:
    with EngineTrialProcess("openvino", {}, opener="tests.faulty_engines:open_hanging") as trial:
        trial.start()
        pid = trial.pid
        path = home.open(V4_REC).path
        with pytest.raises(TrialFailedError, match="no answer within"):
            trial.open(path, SessionOptions(engine="openvino"), [], tmp_path, timeout=1)
        assert trial.pid is None
        assert not Path(f"/proc/{pid}").exists()


PINNED_THREADS = """
import os, sys
from pathlib import Path
import numpy as np
from workers.models.home.home import ModelHome
from workers.models.families.network import Network
from workers.models.engines.session import SessionOptions
home, name = sys.argv[1:]
network = Network(ModelHome(Path(home)).open(name), SessionOptions(engine="openvino", threads=2))
network.forward(np.zeros((1, 3, 48, 64), np.float32))
allowed = os.sched_getaffinity(0)
print(sum(os.sched_getaffinity(int(each.name)) != allowed for each in Path("/proc/self/task").iterdir()))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: every thread is on it anyway")
def test_openvino_leaves_its_threads_to_the_scheduler_so_that_two_slots_do_not_share_a_core(
    home: ModelHome,
) -> None:
    command = [sys.executable, "-c", PINNED_THREADS, str(home.path), V4_REC]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["0"]
