"""Which engine `auto` comes to, with engines that are slow, wrong, or die."""

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paddlewheel.errors import ModelUnavailable
from tests.unit.models.conftest import RECOGNITION, MakeDirectory
from workers.models.engines.choice import FOLDER, read_choice
from workers.models.engines.selection import EngineSelection
from workers.models.engines.session import ENGINES, EngineName, SessionOptions
from workers.models.engines.trial_process import TrialFailedError
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.directory import ModelDirectory

RIGHT = np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 2, 4)
THREE = ("inference.pdmodel", "inference.pdiparams", "inference.onnx")


@dataclass
class FakeTrial:
    """An engine that takes so many milliseconds a batch and answers with `outputs`."""

    engine: EngineName
    takes: float = 10.0
    outputs: NDArray[np.float32] = field(default_factory=lambda: RIGHT)
    refuses: str = ""
    dies_in_round: int | None = None
    opened: int = 0
    runs: int = 0
    closed: bool = False

    def start(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def open(
        self, path: Path, options: SessionOptions, samples: Sequence[Path], outputs: Path, *, timeout: float
    ) -> list[tuple[NDArray[Any], ...]]:
        assert path.is_dir()
        assert options.engine == self.engine
        assert all(sample.is_file() for sample in samples)
        assert outputs.is_dir()
        assert timeout > 0
        self.opened += 1
        if self.refuses:
            raise TrialFailedError(self.refuses)
        return [(self.outputs,) for _ in samples]

    def milliseconds(self, sample: int, *, timeout: float) -> float:
        assert timeout > 0
        self.runs += 1
        if self.dies_in_round is not None and self.runs > self.dies_in_round * 2:
            raise TrialFailedError("its process died with status -11")
        # Other work on the machine disturbs one run in two.
        return self.takes * (1 if self.runs % 3 else 7) * (8 if sample else 1)


class Machine:
    """A model home on a machine with these engines."""

    def __init__(self, home: Path, *engines: FakeTrial, seconds: float = 100) -> None:
        self.home = home
        self.engines = {each.engine: each for each in engines}
        self.seconds = seconds

    def select(self, directory: ModelDirectory, **options: Any) -> str:
        selection = EngineSelection(
            self.home, seconds=self.seconds, environment={}, trial=lambda engine: self.engines[engine]
        )
        model = TextRecognition(name=directory.name, characters="abc")
        with selection:
            chosen = selection.options_for(directory, model, SessionOptions(**options), (1, 8))
        return chosen.engine

    def figures(self) -> Mapping[str, Any]:
        choice = read_choice(self.home, "tiny_rec")
        assert choice is not None
        return {each.engine: each for each in choice.figures}


@pytest.fixture(autouse=True)
def every_engine_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.models.engines.opening.find_spec", lambda name: name)


@pytest.fixture
def directory(make_directory: MakeDirectory) -> ModelDirectory:
    return ModelDirectory.open(make_directory(RECOGNITION, *THREE))


def test_the_fastest_engine_is_chosen_and_the_figures_are_kept(
    tmp_path: Path, directory: ModelDirectory
) -> None:
    machine = Machine(
        tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle", 20)
    )
    assert machine.select(directory) == "onnxruntime"
    assert {name: each.milliseconds for name, each in machine.figures().items()} == {
        "openvino": {1: 9, 8: 9},
        "onnxruntime": {1: 5, 8: 5},
        "paddle": {1: 20, 8: 20},
    }
    assert all(each.closed for each in machine.engines.values())


def test_on_a_tie_the_stated_order_decides(tmp_path: Path, directory: ModelDirectory) -> None:
    machine = Machine(
        tmp_path, FakeTrial("openvino", 10.4), FakeTrial("onnxruntime", 10), FakeTrial("paddle", 10.1)
    )
    assert machine.select(directory) == "openvino"


def test_a_fast_engine_with_other_answers_is_refused(tmp_path: Path, directory: ModelDirectory) -> None:
    wrong = RIGHT.copy()
    wrong[0, 1, 2] += 0.002
    machine = Machine(
        tmp_path,
        FakeTrial("openvino", 1, outputs=wrong),
        FakeTrial("onnxruntime", 30),
        FakeTrial("paddle", 40),
    )
    assert machine.select(directory) == "onnxruntime"
    refused = machine.figures()["openvino"]
    assert "differ from paddle's by 0.002" in refused.refused
    assert refused.difference == pytest.approx(0.002, rel=1e-3)
    assert not machine.engines["openvino"].runs, "a refused engine is not timed"


@pytest.mark.parametrize("wrong", [np.full_like(RIGHT, np.nan), RIGHT[:, :1]])
def test_answers_that_cannot_be_compared_are_refused(
    tmp_path: Path, directory: ModelDirectory, wrong: NDArray[np.float32]
) -> None:
    machine = Machine(
        tmp_path, FakeTrial("openvino", 1, outputs=wrong), FakeTrial("onnxruntime"), FakeTrial("paddle", 1)
    )
    assert machine.select(directory) == "paddle"


@pytest.mark.parametrize("dies_in_round", [None, 1])
def test_an_engine_that_dies_is_refused(
    tmp_path: Path, directory: ModelDirectory, dies_in_round: int | None
) -> None:
    refuses = "" if dies_in_round else "its process died with status -11"
    machine = Machine(
        tmp_path,
        FakeTrial("openvino", 1, refuses=refuses, dies_in_round=dies_in_round),
        FakeTrial("onnxruntime", 5),
        FakeTrial("paddle", 9),
    )
    assert machine.select(directory) == "onnxruntime"
    assert machine.figures()["openvino"].refused == "its process died with status -11"
    assert not machine.figures()["openvino"].milliseconds


def test_without_paddle_s_files_onnx_runtime_is_the_reference(
    tmp_path: Path, make_directory: MakeDirectory
) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.onnx"))
    machine = Machine(tmp_path, FakeTrial("openvino", 1, outputs=RIGHT + 1), FakeTrial("onnxruntime", 5))
    assert machine.select(directory) == "onnxruntime"
    assert "onnxruntime's" in machine.figures()["openvino"].refused


def test_a_kept_choice_is_used_again(tmp_path: Path, directory: ModelDirectory) -> None:
    machine = Machine(tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    for _ in range(3):
        assert machine.select(directory) == "onnxruntime"
    assert {each.opened for each in machine.engines.values()} == {1}


@pytest.mark.parametrize("change", ["weights", "threads", "engine"])
def test_what_a_choice_depends_on_is_measured_again(
    tmp_path: Path, directory: ModelDirectory, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    machine = Machine(tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    assert machine.select(directory) == "onnxruntime"
    machine.engines["openvino"].takes = 1
    threads = 1
    match change:
        case "weights":
            (directory.path / "inference.pdiparams").write_bytes(b"fine-tuned")
            directory = ModelDirectory.open(directory.path)
        case "threads":
            threads = 2
        case "engine":
            monkeypatch.setattr("workers.models.engines.choice.version", lambda _: "9.9")
    assert machine.select(directory, threads=threads) == "openvino"


def test_a_damaged_choice_is_measured_again(tmp_path: Path, directory: ModelDirectory) -> None:
    machine = Machine(tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    machine.select(directory)
    (file,) = (tmp_path / FOLDER).glob("*.json")
    file.write_text(file.read_text()[:100])
    assert machine.select(directory) == "onnxruntime"
    assert machine.engines["paddle"].opened == 2
    assert json.loads(file.read_text())["engine"] == "onnxruntime"


def test_a_home_that_cannot_be_written_is_measured_and_said_so_once(
    tmp_path: Path, directory: ModelDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    # A file in the folder's place cannot be written into by anybody, root included.
    (tmp_path / FOLDER).write_text("")
    machine = Machine(tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    assert machine.select(directory) == "onnxruntime"
    assert caplog.text.count("not kept") == 1
    assert read_choice(tmp_path, "tiny_rec") is None


def test_an_engine_that_is_named_is_not_measured(tmp_path: Path, directory: ModelDirectory) -> None:
    machine = Machine(tmp_path, FakeTrial("openvino"), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    assert machine.select(directory, engine="paddle") == "paddle"
    assert machine.select(directory, device="gpu:0") == "paddle"
    assert not any(each.opened for each in machine.engines.values())


def test_a_model_that_one_engine_can_load_is_not_measured(
    tmp_path: Path, make_directory: MakeDirectory
) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.json", "inference.pdiparams"))
    machine = Machine(tmp_path, FakeTrial("paddle"))
    assert machine.select(directory) == "paddle"
    assert not machine.engines["paddle"].opened


def test_a_model_that_no_engine_can_load_is_unavailable(
    tmp_path: Path, make_directory: MakeDirectory
) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.onnx"))
    with pytest.raises(ModelUnavailable, match="paddle cannot load"):
        Machine(tmp_path).select(directory, device="gpu:0")


def test_when_no_engine_runs_or_time_is_up_the_preferred_one_is_left_to_try(
    tmp_path: Path, directory: ModelDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [FakeTrial(name, refuses="no") for name in ENGINES]
    assert Machine(tmp_path, *broken).select(directory) == "openvino"
    assert "could not be measured" in caplog.text
    late = Machine(
        tmp_path, FakeTrial("openvino"), FakeTrial("onnxruntime", 1), FakeTrial("paddle"), seconds=0
    )
    assert late.select(directory) == "openvino"
    assert not late.engines["onnxruntime"].opened
    assert read_choice(tmp_path, "tiny_rec") is None


def test_a_worker_waits_for_another_s_measurement_and_uses_it(
    tmp_path: Path, directory: ModelDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring, go_on = threading.Event(), threading.Event()
    first = Machine(tmp_path, FakeTrial("openvino", 9), FakeTrial("onnxruntime", 5), FakeTrial("paddle"))
    second = Machine(tmp_path, FakeTrial("openvino"), FakeTrial("onnxruntime"), FakeTrial("paddle"))

    def start() -> None:
        measuring.set()
        assert go_on.wait(30)

    first.engines["openvino"].start = start  # type: ignore[method-assign]
    with ThreadPoolExecutor() as threads:
        chosen = threads.submit(first.select, directory)
        assert measuring.wait(30)

        def until_the_first_is_done(_: float) -> None:
            go_on.set()
            chosen.result(30)

        monkeypatch.setattr("workers.models.engines.selection.time.sleep", until_the_first_is_done)
        try:
            assert second.select(directory) == chosen.result(30) == "onnxruntime"
        finally:
            go_on.set()
    assert not any(each.opened for each in second.engines.values())
