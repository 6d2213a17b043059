"""ONNX files of one input and of three, and with outputs of a size that depends on the pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml

from tests.sample_pictures import waves
from tests.tiny_networks import CONFIGS
from tests.tiny_onnx import detector, embedder
from workers.models.engines.session import SessionOptions
from workers.models.families.image_feature import ImageFeature
from workers.models.families.network import Network
from workers.models.families.object_detection import ObjectDetection
from workers.models.home.directory import ModelDirectory

Engine = Literal["onnxruntime", "openvino"]
OpenDirectory = Callable[[str, bytes], ModelDirectory]


@pytest.fixture
def open_directory(tmp_path: Path) -> OpenDirectory:
    """A directory with the config of that name and an ONNX file."""

    def open_(name: str, model: bytes) -> ModelDirectory:
        (tmp_path / "inference.yml").write_text(yaml.safe_dump(dict(CONFIGS[name])), encoding="utf-8")
        (tmp_path / "inference.onnx").write_bytes(model)
        return ModelDirectory.open(tmp_path)

    return open_


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("flip", [False, True])
def test_an_embedder_answers_alone_and_in_a_batch(
    open_directory: OpenDirectory, engine: Engine, flip: bool
) -> None:
    directory = open_directory("feature", embedder())
    model, network = (
        ImageFeature.open(directory, flip=flip),
        Network(directory, SessionOptions(engine=engine)),
    )
    network.warm_up(model.warmup_shapes)
    tensors = np.stack([model.preprocess(waves(*shape))[0] for shape in ((48, 56), (90, 61), (30, 200))])
    (features,) = network.forward(tensors)
    for tensor, feature in zip(tensors, features, strict=True):
        views = tensor.reshape(-1, 3, 48, 56)
        parts = views.reshape(-1, 3, 4, 12, 4, 14).mean(axis=(3, 5)).reshape(len(views), -1).sum(axis=0)
        np.testing.assert_allclose(
            model.postprocess((feature,)), parts / np.linalg.norm(parts), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_detector_of_three_inputs_keeps_the_boxes_of_a_batch_apart(
    open_directory: OpenDirectory, engine: Engine
) -> None:
    directory = open_directory("blazeface", detector())
    model, network = ObjectDetection.open(directory), Network(directory, SessionOptions(engine=engine))
    network.warm_up(model.warmup_shapes)
    pictures = [
        _picture((8, 16), (24, 0)),
        _picture(),
        _picture((16, 32)),
        _picture((0, 0), (8, 8), (24, 40)),
    ]
    inputs = [np.stack(column) for column in zip(*map(model.preprocess, pictures), strict=True)]
    (boxes,) = network.forward(*inputs)
    found = [[each.box for each in model.postprocess((rows,), 48, 28)] for rows in boxes]
    assert found == [
        [(16, 8, 24, 16), (0, 24, 8, 28)],
        [],
        [(32, 16, 40, 24)],
        [(0, 0, 8, 8), (8, 8, 16, 16), (40, 24, 48, 28)],
    ]


def _picture(*bright: tuple[int, int]) -> Any:
    """Dark, 48 x 28 pixels, with bright cells at these (y, x)."""
    picture = np.zeros((28, 48, 3), dtype=np.uint8)
    for y, x in bright:
        picture[y : y + 8, x : x + 8] = 255
    return picture
