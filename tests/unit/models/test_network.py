from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed
from tests.unit.models.conftest import DETECTION, FEATURE, OBJECTS, RECOGNITION, MakeDirectory
from workers.models.engines.session import SessionOptions
from workers.models.families import network
from workers.models.families.network import Network
from workers.models.home.directory import ModelDirectory

PADDLE = ("inference.pdmodel", "inference.pdiparams")


class FakeSession:
    """Answers with the mean of each item, spread over `shape`; keeps the shapes it was given."""

    engine = "fake"
    device = "cpu"

    def __init__(self, *shape: int, lose: int = 0) -> None:
        self.shape, self.lose = shape, lose
        self.seen: list[tuple[int, ...]] = []
        self.memory = np.zeros(1, dtype=np.float32)

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.seen.append(batch.shape)
        items = len(batch) - self.lose
        means = batch[:items].reshape(items, -1).mean(axis=1)
        self.memory = np.broadcast_to(means.reshape(-1, *[1] * len(self.shape)), (items, *self.shape)).copy()
        return (self.memory,)


def open_model(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory, config: Any, session: Any
) -> Network:
    monkeypatch.setattr(network, "open_session", lambda *_: session)
    return Network(ModelDirectory.open(make_directory(config, *PADDLE)), SessionOptions())


def test_recognition_is_reduced_to_the_best_classes(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    model = open_model(monkeypatch, make_directory, RECOGNITION, FakeSession(40, 6625))
    classes, scores = model.forward(np.full((3, 3, 48, 320), 0.25, dtype=np.float32))
    assert classes.shape == scores.shape == (3, 40)
    assert classes.dtype == np.int32
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, 0.25)


def test_outputs_do_not_change_with_the_next_call(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    session = FakeSession(1, 32, 32)
    model = open_model(monkeypatch, make_directory, DETECTION, session)
    (first,) = model.forward(np.ones((1, 3, 32, 32), dtype=np.float32))
    session.memory[:] = 9
    np.testing.assert_array_equal(first, 1)


def test_a_missing_item_is_an_error_and_not_a_shift(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    model = open_model(monkeypatch, make_directory, DETECTION, FakeSession(1, 32, 32, lose=1))
    with pytest.raises(ModelFailed, match="answered"):
        model.forward(np.ones((3, 3, 32, 32), dtype=np.float32))


class FakeDetector:
    """Finds as many boxes in an item as its `scale_factor` says, of the class of the item's place."""

    engine = "fake"
    device = "cpu"

    def __init__(self, *, lose: int = 0, outputs: int = 2) -> None:
        self.lose, self.outputs = lose, outputs

    def run(self, image: NDArray[Any], scale_factor: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        assert len(image) == len(scale_factor)
        counts = scale_factor[:, 0].astype(np.int32)
        boxes = np.repeat(np.arange(len(image)), counts)[:, np.newaxis] * np.ones((1, 6), dtype=np.float32)
        return (boxes[self.lose :].astype(np.float32), counts, counts)[: self.outputs]


def detect(network: Network, *counts: int) -> NDArray[Any]:
    items = len(counts)
    scale_factor = np.array([[count, 1] for count in counts], dtype=np.float32)
    (boxes,) = network.forward(np.zeros((items, 3, 8, 8), dtype=np.float32), scale_factor)
    return boxes


def test_each_item_gets_its_own_boxes(monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory) -> None:
    boxes = detect(open_model(monkeypatch, make_directory, OBJECTS, FakeDetector()), 2, 0, 3, 1)
    assert boxes.shape == (4, 3, 6)
    assert boxes[:, :, 0].tolist() == [[0, 0, -1], [-1, -1, -1], [2, 2, 2], [3, -1, -1]]


@pytest.mark.parametrize("detector", [FakeDetector(lose=1), FakeDetector(outputs=1)])
def test_a_missing_box_is_an_error_and_not_a_shift(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory, detector: FakeDetector
) -> None:
    with pytest.raises(ModelFailed, match="PicoDet_LCNet_x2_5_face answered"):
        detect(open_model(monkeypatch, make_directory, OBJECTS, detector), 2, 1)


def test_the_views_of_an_item_go_through_the_network_together(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    session = FakeSession(4)
    model = open_model(monkeypatch, make_directory, FEATURE, session)
    views = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1, 1) * np.ones((1, 1, 3, 8, 8), np.float32)
    (features,) = model.forward(views)
    assert session.seen == [(6, 3, 8, 8)]
    assert features[:, :, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    (features,) = model.forward(views[:, 1])
    assert features[:, 0].tolist() == [1, 3, 5]


def test_warm_up_runs_each_shape_once(monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory) -> None:
    session = FakeSession(40, 7)
    model = open_model(monkeypatch, make_directory, RECOGNITION, session)
    model.warm_up([((3, 48, 320),), ((3, 48, 640),)])
    assert session.seen == [(1, 3, 48, 320), (1, 3, 48, 640)]
    assert (model.engine, model.device) == ("fake", "cpu")
