"""Embedders, classifiers and detectors, from the directory to the answer, beside what PaddleX 3.7.2 answers.

The tests make small networks; `python -m benchmarks.picture_parity` recorded PaddleX's answers.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from benchmarks.picture_parity import CASES, RECORDED, TOLERANCE, Answer, answer, difference, open_model
from paddlewheel.errors import ModelFailed, ModelUnavailable
from tasks.context import TaskContext
from tests.sample_pictures import Pixels, sample_pictures, waves
from tests.tiny_networks import HEADS, make_networks
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.inference.host import ModelHost
from workers.inference.host_config import HostConfig, HostedModel
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.home.directory import ModelDirectory

PICTURES = sample_pictures()

Engine = Literal["paddle", "openvino"]
Graph = Literal["json", "pdmodel"]
READERS: tuple[tuple[Graph, Engine], ...] = (
    ("json", "paddle"),
    ("pdmodel", "paddle"),
    ("pdmodel", "openvino"),
)


class Model:
    """A directory's two halves on one engine, in this process."""

    def __init__(self, directory: ModelDirectory, engine: Engine, *, flip: bool) -> None:
        self.half = open_model(directory, flip=flip)
        self.network = Network(directory, SessionOptions(engine=engine))
        self.network.warm_up(self.half.warmup_shapes)

    def answers(self, *pictures: Pixels) -> list[Answer]:
        """Each picture's answer; all go through the network together."""
        inputs = [np.stack(column) for column in zip(*map(self.half.preprocess, pictures), strict=True)]
        items = zip(*self.network.forward(*inputs), strict=True)
        return [answer(self.half, item, picture) for item, picture in zip(items, pictures, strict=True)]


OpenModel = Callable[[str, Graph, Engine], Model]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[Graph, Path]:
    folder = tmp_path_factory.mktemp("networks")
    make_networks(folder / "json")
    make_networks(folder / "pdmodel", old=True)
    return {"json": folder / "json", "pdmodel": folder / "pdmodel"}


@pytest.fixture(scope="module")
def open_case(networks: dict[Graph, Path]) -> OpenModel:
    """A case's model on an engine, loaded once for all tests."""
    loaded: dict[tuple[str, Graph, Engine], Model] = {}

    def open_(case: str, graph: Graph, engine: Engine) -> Model:
        if (case, graph, engine) not in loaded:
            name, _, flipped = case.partition(",")
            directory = ModelDirectory.open(networks[graph] / name)
            loaded[case, graph, engine] = Model(directory, engine, flip=bool(flipped))
        return loaded[case, graph, engine]

    return open_


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, Answer]]:
    """PaddleX's answers by case and picture."""
    answers: dict[str, dict[str, Answer]] = {case: {} for case in CASES}
    for line in json.loads(RECORDED.read_text(encoding="utf-8")):
        answers[line.pop("case")][line.pop("picture")] = line
    return answers


def test_the_record_has_every_case_and_tells_pictures_apart(recorded: dict[str, dict[str, Answer]]) -> None:
    for case in CASES:
        assert list(recorded[case]) == list(PICTURES)
        assert len({json.dumps(each) for each in recorded[case].values()}) >= len(PICTURES) - 1
    counts = {len(each["boxes"]) for each in recorded["blazeface"].values()}
    assert 0 in counts
    assert len(counts) >= 3


@pytest.mark.parametrize(("graph", "engine"), READERS)
@pytest.mark.parametrize("case", CASES)
def test_answers_are_paddlex_s(
    open_case: OpenModel, recorded: dict[str, dict[str, Answer]], case: str, graph: Graph, engine: Engine
) -> None:
    model = open_case(case, graph, engine)
    for name, picture in PICTURES.items():
        (ours,) = model.answers(picture)
        assert difference(ours, recorded[case][name]) <= TOLERANCE, name


@pytest.mark.parametrize("case", CASES)
def test_other_colours_are_another_answer(
    open_case: OpenModel, recorded: dict[str, dict[str, Answer]], case: str
) -> None:
    (ours,) = open_case(case, "json", "paddle").answers(np.ascontiguousarray(PICTURES["large"][:, :, ::-1]))
    assert difference(ours, recorded[case]["large"]) > 10 * TOLERANCE


@pytest.mark.parametrize(("graph", "engine"), READERS)
@pytest.mark.parametrize("case", CASES)
def test_a_picture_s_answer_does_not_depend_on_its_batch(
    open_case: OpenModel, case: str, graph: Graph, engine: Engine
) -> None:
    model = open_case(case, graph, engine)
    white = np.full((64, 96, 3), 255, dtype=np.uint8)
    pictures = [waves(64, 96), white, waves(80, 120)[16:, 24:], white, waves(64, 96)[::-1]]
    together = model.answers(*pictures)
    for picture, ours in zip(pictures, together, strict=True):
        assert difference(ours, *model.answers(picture)) <= TOLERANCE


@pytest.mark.parametrize(("graph", "engine"), READERS)
def test_a_network_that_lacks_an_input_says_which_it_takes(
    open_case: OpenModel, graph: Graph, engine: Engine
) -> None:
    model = open_case("blazeface", graph, engine)
    size, image, scale = (tensor[np.newaxis] for tensor in model.half.preprocess(PICTURES["small"]))
    with pytest.raises(ModelFailed, match="im_shape, image, scale_factor"):
        model.network.forward(image, scale)
    with pytest.raises(ModelFailed, match="failed on shape"):
        model.network.forward(image, size, scale)
    assert model.network.forward(size, image, scale)[0].shape[::2] == (1, 6)


def test_detections_come_back_from_the_model_process_to_their_own_callers(
    networks: dict[Graph, Path], recorded: dict[str, dict[str, Answer]]
) -> None:
    detector = open_model(ModelDirectory.open(networks["pdmodel"] / "detector"))
    hosted = HostedModel(
        name="detector",
        path=networks["pdmodel"] / "detector",
        options=SessionOptions(engine="openvino"),
        warm_up=detector.warmup_shapes,
    )
    host = ModelHost(HostConfig(models=(hosted,), start_timeout=60))
    try:
        host.start()
        batcher = DynamicBatcher([host], BatchingOptions(max_batch_size=4, max_wait_time=0.05))
        try:
            task = TaskContext(task_id="t")
            waiting = [
                (name, batcher.submit("detector", detector.preprocess(picture), task))
                for name, picture in 3 * list(PICTURES.items())
            ]
            for name, future in waiting:
                ours = answer(detector, future.result(60).outputs, PICTURES[name])
                assert difference(ours, recorded["detector"][name]) <= TOLERANCE, name
        finally:
            batcher.close()
    finally:
        host.close()


def test_a_graph_that_onednn_refuses_at_first_is_run_at_a_lower_level(
    open_case: OpenModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="workers.models.engines.paddle_session"):
        answers = open_case(HEADS, "json", "paddle").answers(PICTURES["cat"], PICTURES["cup"])
    refusals = [message for message in caplog.messages if "does not run with" in message]
    assert len(refusals) == 1
    assert "does not run with oneDNN at level 3" in refusals[0]
    for ours, other in zip(answers, (PICTURES["cat"], PICTURES["cup"]), strict=True):
        assert difference(ours, *open_case(HEADS, "pdmodel", "openvino").answers(other)) <= TOLERANCE


def test_openvino_does_not_read_the_new_graph(networks: dict[Graph, Path]) -> None:
    with pytest.raises(ModelUnavailable, match=r"inference\.json"):
        Network(ModelDirectory.open(networks["json"] / "feature"), SessionOptions(engine="openvino"))
