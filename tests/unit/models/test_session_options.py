from typing import Any

import pytest

from paddlewheel.errors import ConfigurationError, ModelUnavailable
from tests.unit.models.conftest import RECOGNITION, MakeDirectory
from workers.models.engines.opening import choose_engine, loadable_engines
from workers.models.engines.session import SessionOptions
from workers.models.home.directory import ModelDirectory


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"engine": "tflite"}, "tflite"),
        ({"device": "gpu"}, "gpu:N"),
        ({"device": "cpu:0"}, "gpu:N"),
        ({"threads": 0}, "at least one"),
        ({"precision": "int8"}, "int8"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"use_tensorrt": True}, "needs a GPU"),
        ({"engine": "openvino", "device": "gpu:0"}, "cpu only"),
        ({"engine": "onnxruntime", "device": "gpu:1"}, "cpu only"),
        ({"device": "gpu:0", "gpu_memory_mb": 0}, "gpu_memory_mb"),
        ({"mkldnn_cache_capacity": -1}, "negative"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        SessionOptions(**options)


def test_a_gpu_takes_half_precision() -> None:
    assert SessionOptions(device="gpu:1", precision="fp16").on_gpu


@pytest.mark.parametrize(
    ("files", "engines"),
    [
        (("inference.json", "inference.pdiparams"), ("paddle",)),
        (("inference.pdmodel", "inference.pdiparams"), ("openvino", "paddle")),
        (("inference.onnx",), ("openvino", "onnxruntime")),
    ],
)
def test_engines_are_those_that_read_the_files(
    make_directory: MakeDirectory, files: tuple[str, ...], engines: tuple[str, ...]
) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, *files))
    assert set(loadable_engines(directory)) == set(engines)
    assert choose_engine(directory, SessionOptions()) == loadable_engines(directory)[0]


def test_a_gpu_means_paddle(make_directory: MakeDirectory) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.pdmodel", "inference.pdiparams"))
    assert choose_engine(directory, SessionOptions(device="gpu:0")) == "paddle"


def test_an_engine_that_cannot_read_the_files_is_refused_by_name(make_directory: MakeDirectory) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.onnx"))
    with pytest.raises(ModelUnavailable, match=r"paddle cannot load tiny_rec \(inference.onnx\)"):
        choose_engine(directory, SessionOptions(engine="paddle"))
    with pytest.raises(ModelUnavailable, match="paddle cannot load"):
        choose_engine(directory, SessionOptions(device="gpu:0"))
