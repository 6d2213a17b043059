"""OpenVINO runs a batch of pictures in parts, one to a thread. Nobody can tell."""

import numpy as np
import pytest
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed
from tests.integration.models.conftest import OpenNetwork
from workers.models.engines.samples import samples
from workers.models.engines.session import SessionOptions
from workers.models.families.image_feature import ImageFeature
from workers.models.families.network import Network
from workers.models.home.home import ModelHome

MODELS = ("DlibFaceResNet", "EfficientNet-Lite0_feature")


def pictures(home: ModelHome, model: str, count: int) -> NDArray[np.float32]:
    """Different ones, as the model takes them: [N, 3, H, W]."""
    (sample,) = samples(ImageFeature.open(home.open(model)), (count,))
    return np.asarray(sample.inputs[0], np.float32)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("threads", [2, 3])
def test_a_picture_has_the_same_answer_alone_and_in_every_batch_to_the_last_digit(
    home: ModelHome, model: str, threads: int
) -> None:
    network = Network(home.open(model), SessionOptions(engine="openvino", threads=threads))
    batch = pictures(home, model, 8)
    alone = np.concatenate([network.forward(batch[i : i + 1])[0] for i in range(len(batch))])
    assert len({row.tobytes() for row in alone}) == len(batch)
    for size in range(2, len(batch) + 1):
        (together,) = network.forward(batch[:size])
        assert np.array_equal(together, alone[:size])


def test_a_batch_that_is_refused_leaves_nothing_behind(home: ModelHome, open_network: OpenNetwork) -> None:
    network = open_network("DlibFaceResNet", "openvino")
    batch = pictures(home, "DlibFaceResNet", 4)
    (before,) = network.forward(batch)
    with pytest.raises(ModelFailed):
        network.forward(batch[:, :2])
    assert np.array_equal(network.forward(batch)[0], before)
