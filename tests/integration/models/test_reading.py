"""Real networks on every engine that can load them."""

import logging
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest

from paddlewheel.errors import ModelFailed, ModelUnavailable
from tests.integration.models.conftest import OpenNetwork, Pixels, Render, first
from workers.models.engines.opening import open_session
from workers.models.engines.session import SessionOptions
from workers.models.families.network import Network
from workers.models.families.text_crops import crop_line, reading_order
from workers.models.families.text_detection import TextDetection
from workers.models.families.text_orientation import TextOrientation
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.directory import ModelDirectory
from workers.models.home.home import ModelHome

V4_REC, V4_DET, V4_CLS = "PP-OCRv4_mobile_rec", "PP-OCRv4_mobile_det", "ch_ppocr_mobile_v2.0_cls"
V6_REC, V6_DET = "PP-OCRv6_small_rec", "PP-OCRv6_small_det"

RECOGNIZERS = [(V4_REC, "paddle"), (V4_REC, "openvino"), (V6_REC, "openvino"), (V6_REC, "onnxruntime")]
DETECTORS = [(V4_DET, "paddle"), (V4_DET, "openvino"), (V6_DET, "openvino"), (V6_DET, "onnxruntime")]

TEXTS = ["Invoice 2026-11-21", "飞桨文字识别", "发票金额合计", "a queue of 1,024 tasks and their results"]

PAGE_LINES = [
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
]
"""The prose of the page; v4 finds the line of code below it in two parts."""


@pytest.mark.parametrize(("model", "engine"), RECOGNIZERS)
@pytest.mark.parametrize("text", TEXTS)
def test_each_engine_reads_a_rendered_line(
    home: ModelHome, open_network: OpenNetwork, render: Render, model: str, engine: str, text: str
) -> None:
    recognizer = TextRecognition.open(home.open(model))
    network = open_network(model, engine)
    read, score = recognizer.postprocess(first(network, *recognizer.preprocess(render(text))))
    assert read.replace(" ", "") == text.replace(" ", "")
    assert score > 0.9
    assert network.engine == engine


@pytest.mark.parametrize(
    ("model", "engines"), [(V4_REC, ("paddle", "openvino")), (V6_REC, ("openvino", "onnxruntime"))]
)
def test_engines_agree_on_text_and_score(
    home: ModelHome, open_network: OpenNetwork, render: Render, model: str, engines: tuple[str, str]
) -> None:
    recognizer = TextRecognition.open(home.open(model))
    for text in TEXTS:
        (tensor,) = recognizer.preprocess(render(text, 20))
        (one, score), (other, other_score) = (
            recognizer.postprocess(first(open_network(model, engine), tensor)) for engine in engines
        )
        assert one == other
        assert score == pytest.approx(other_score, abs=1e-4)


@pytest.mark.parametrize(("model", "engine"), RECOGNIZERS)
def test_an_item_s_answer_does_not_depend_on_its_batch(
    home: ModelHome, open_network: OpenNetwork, render: Render, model: str, engine: str
) -> None:
    recognizer, network = TextRecognition.open(home.open(model)), open_network(model, engine)
    tensors = [recognizer.preprocess(render(text))[0] for text in ("one", "识别", "three 3", "four")]
    classes, probabilities = network.forward(np.stack(tensors))
    for index, tensor in enumerate(tensors):
        text, score = recognizer.postprocess(first(network, tensor))
        together = recognizer.postprocess((classes[index], probabilities[index]))
        assert together[0] == text
        assert together[1] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(("model", "engine"), DETECTORS)
def test_each_engine_finds_the_lines_of_a_page(
    home: ModelHome, open_network: OpenNetwork, page: Pixels, model: str, engine: str
) -> None:
    detector, network = TextDetection.open(home.open(model)), open_network(model, engine)
    height, width = page.shape[:2]
    found = detector.postprocess(first(network, *detector.preprocess(page)), width, height)
    polygons = [polygon for polygon, _ in found]
    recognizer, reader = TextRecognition.open(home.open(V6_REC)), open_network(V6_REC, "onnxruntime")
    read = [
        recognizer.postprocess(first(reader, *recognizer.preprocess(crop_line(page, polygons[i]))))[0]
        for i in reading_order(polygons)
    ]
    prose, code = read[: len(PAGE_LINES)], read[len(PAGE_LINES) :]
    assert [line.replace(" ", "") for line in prose] == [line.replace(" ", "") for line in PAGE_LINES]
    assert "markers" in "".join(code)


@pytest.mark.parametrize("shape", [(1, 1), (20, 3000), (1500, 10)])
def test_pages_of_extreme_shapes_have_no_lines(
    home: ModelHome, open_network: OpenNetwork, shape: tuple[int, int]
) -> None:
    detector, network = TextDetection.open(home.open(V4_DET)), open_network(V4_DET, "openvino")
    blank = np.full((*shape, 3), 255, dtype=np.uint8)
    assert detector.postprocess(first(network, *detector.preprocess(blank)), shape[1], shape[0]) == []


@pytest.mark.parametrize("engine", ["paddle", "openvino"])
def test_a_line_that_stands_upside_down_is_reported(
    home: ModelHome, open_network: OpenNetwork, render: Render, engine: str
) -> None:
    classifier, network = TextOrientation.open(home.open(V4_CLS)), open_network(V4_CLS, engine)
    for text in ("Invoice 2026", "飞桨文字识别模型", "Total amount due"):
        line = render(text)
        upright, _ = classifier.postprocess(first(network, *classifier.preprocess(line)))
        turned, score = classifier.postprocess(
            first(network, *classifier.preprocess(np.ascontiguousarray(line[::-1, ::-1])))
        )
        assert (upright, turned) == (0, 180)
        assert score >= 0.9


def test_paddle_falls_back_when_a_graph_fails_at_its_first_run(
    home: ModelHome, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="workers.models.engines.paddle_session"):
        network = Network(home.open(V4_DET), SessionOptions(engine="paddle"))
        (output,) = network.forward(np.zeros((1, 3, 64, 96), dtype=np.float32))
    assert output.shape == (1, 1, 64, 96)
    assert any("does not run with oneDNN at level 3" in message for message in caplog.messages)


@pytest.mark.parametrize(("model", "engine"), [*RECOGNIZERS, (V4_DET, "paddle")])
def test_a_batch_that_does_not_fit_the_network_is_the_model_s_failure(
    open_network: OpenNetwork, model: str, engine: str
) -> None:
    network = open_network(model, engine)
    side = (48, 320) if model != V4_DET else (64, 64)
    network.warm_up([((3, *side),)])
    with pytest.raises(ModelFailed, match="failed on shape"):
        network.forward(np.zeros((1, 5, *side), dtype=np.float32))
    assert len(network.forward(np.zeros((2, 3, *side), dtype=np.float32))[0]) == 2


@pytest.mark.skipif(any(d.name == "paddlepaddle-gpu" for d in distributions()), reason="Paddle for GPUs")
def test_a_gpu_that_is_not_there_is_refused(home: ModelHome) -> None:
    with pytest.raises(ModelUnavailable, match="gpu:0"):
        open_session(home.open(V4_REC), SessionOptions(device="gpu:0"))


@pytest.mark.parametrize("engine", ["paddle", "openvino", "onnxruntime"])
def test_damaged_weights_are_refused(home: ModelHome, tmp_path: Path, engine: str) -> None:
    source = home.open(V6_REC if engine == "onnxruntime" else V4_REC).path
    for file in source.iterdir():
        content = file.read_bytes()
        damaged = content[: len(content) // 2] if file.suffix in (".pdmodel", ".onnx") else content
        (tmp_path / file.name).write_bytes(damaged)
    with pytest.raises((ModelUnavailable, ModelFailed)):
        open_session(ModelDirectory.open(tmp_path), SessionOptions(engine=engine))  # type: ignore[arg-type]
