from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api_client.errors import ModelFailed
from tests.unit.models.conftest import DETECTION, RECOGNITION, MakeDirectory
from workers.models import network
from workers.models.directory import ModelDirectory
from workers.models.network import Network
from workers.models.session import SessionOptions

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


def opened(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory, config: Any, session: FakeSession
) -> Network:
    monkeypatch.setattr(network, "open_session", lambda *_: session)
    return Network(ModelDirectory.open(make_directory(config, *PADDLE)), SessionOptions())


def test_recognition_is_reduced_to_the_best_classes(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    model = opened(monkeypatch, make_directory, RECOGNITION, FakeSession(40, 6625))
    classes, scores = model.forward(np.full((3, 3, 48, 320), 0.25, dtype=np.float32))
    assert classes.shape == scores.shape == (3, 40)
    assert classes.dtype == np.int32
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, 0.25)


def test_outputs_do_not_change_with_the_next_call(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    session = FakeSession(1, 32, 32)
    model = opened(monkeypatch, make_directory, DETECTION, session)
    (first,) = model.forward(np.ones((1, 3, 32, 32), dtype=np.float32))
    session.memory[:] = 9
    np.testing.assert_array_equal(first, 1)


def test_a_missing_item_is_an_error_and_not_a_shift(
    monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory
) -> None:
    model = opened(monkeypatch, make_directory, DETECTION, FakeSession(1, 32, 32, lose=1))
    with pytest.raises(ModelFailed, match="answered"):
        model.forward(np.ones((3, 3, 32, 32), dtype=np.float32))


def test_warm_up_runs_each_shape_once(monkeypatch: pytest.MonkeyPatch, make_directory: MakeDirectory) -> None:
    session = FakeSession(40, 7)
    model = opened(monkeypatch, make_directory, RECOGNITION, session)
    model.warm_up([((3, 48, 320),), ((3, 48, 640),)])
    assert session.seen == [(1, 3, 48, 320), (1, 3, 48, 640)]
    assert (model.engine, model.device) == ("fake", "cpu")
