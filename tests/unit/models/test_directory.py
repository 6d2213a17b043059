from pathlib import Path
from typing import Any

import pytest

from paddlewheel.errors import ModelUnavailable, ModelUnknown
from tests.unit.models.conftest import (
    CLASSIFICATION,
    DETECTION,
    FEATURE,
    OBJECTS,
    ORIENTATION,
    RECOGNITION,
    MakeDirectory,
)
from workers.models.home.directory import ModelDirectory
from workers.models.home.home import ModelHome

PADDLE = ("inference.pdmodel", "inference.pdiparams")


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (RECOGNITION, "text_recognition"),
        (DETECTION, "text_detection"),
        (ORIENTATION, "text_orientation"),
        (FEATURE, "image_feature"),
        (CLASSIFICATION, "image_classification"),
        (OBJECTS, "object_detection"),
        ({**OBJECTS, "PostProcess": {"name": "CenterFaceDecode"}}, "face_detection"),
        ({**ORIENTATION, "PostProcess": {"Topk": {"label_list": ["0", "90"]}}}, "image_classification"),
        ({**ORIENTATION, "PostProcess": {"Topk": {"topk": 1}}}, "image_classification"),
    ],
)
def test_the_family_follows_from_an_official_config(
    make_directory: MakeDirectory, config: dict[str, Any], family: str
) -> None:
    directory = ModelDirectory.open(make_directory(config, *PADDLE))
    assert directory.family == family
    assert directory.name == config["Global"]["model_name"]


def test_the_new_graph_is_taken_before_the_old_one(make_directory: MakeDirectory) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.json", *PADDLE))
    assert directory.graph is not None
    assert directory.graph.name == "inference.json"


def test_an_onnx_file_alone_is_a_model(make_directory: MakeDirectory) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, "inference.onnx"))
    assert (directory.graph, directory.params) == (None, None)
    assert directory.onnx is not None


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (("inference.pdmodel",), "no inference.pdiparams"),
        (("inference.pdiparams",), "no inference.json or inference.pdmodel"),
        ((), "no weights"),
    ],
)
def test_missing_weights_are_named(
    make_directory: MakeDirectory, files: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(ModelUnavailable, match=missing):
        ModelDirectory.open(make_directory(RECOGNITION, *files))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("[1, 2]", "not a mapping"),
        ("a: [", "cannot be read"),
        ("Global: !!python/object/apply:os.getcwd []", "cannot be read"),
        ({"PostProcess": {"name": "CTCLabelDecode"}}, "Global.model_name"),
        ({**RECOGNITION, "PostProcess": {"name": "SARLabelDecode"}}, "no family served here"),
        ({**ORIENTATION, "PostProcess": {"Softmax": None}}, "no family served here"),
        ({**ORIENTATION, "PostProcess": "Topk"}, "no family served here"),
        ({**ORIENTATION, "PostProcess": {"Topk": [1]}}, "no family served here"),
    ],
)
def test_a_config_that_cannot_be_used_is_explained(
    make_directory: MakeDirectory, config: Any, complaint: str
) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        ModelDirectory.open(make_directory(config, *PADDLE))


def test_a_path_without_a_config_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no inference\.yml"):
        ModelDirectory.open(tmp_path)
    with pytest.raises(ModelUnavailable, match="not a directory"):
        ModelDirectory.open(tmp_path / "nowhere")


def test_the_fingerprint_follows_the_bytes_and_not_the_place(make_directory: MakeDirectory) -> None:
    first = ModelDirectory.open(make_directory(RECOGNITION, *PADDLE, name="first"))
    second = ModelDirectory.open(make_directory(RECOGNITION, *PADDLE, name="second"))
    assert first.fingerprint == second.fingerprint
    (second.path / "inference.pdiparams").write_bytes(b"other weights")
    assert ModelDirectory.open(second.path).fingerprint != first.fingerprint


def test_the_home_opens_the_models_it_has(make_directory: MakeDirectory, tmp_path: Path) -> None:
    make_directory(RECOGNITION, *PADDLE, name="tiny_rec")
    elsewhere = make_directory(DETECTION, *PADDLE, name="elsewhere/det".replace("/", "_"))
    home = ModelHome(tmp_path, {"tuned_det": elsewhere})
    assert home.open("tiny_rec").family == "text_recognition"
    assert home.open("tuned_det").path == elsewhere
    assert "tiny_rec" in home.names()


def test_a_model_is_served_under_the_name_of_its_home(make_directory: MakeDirectory, tmp_path: Path) -> None:
    make_directory(RECOGNITION, *PADDLE, name="tuned_rec")
    directory = ModelHome(tmp_path).open("tuned_rec")
    assert directory.name == "tuned_rec"
    assert directory.config["Global"]["model_name"] == "tiny_rec"


@pytest.mark.parametrize("name", ["nothing", "../tiny_rec", ".", "", "/etc", "tiny_rec/../tiny_rec"])
def test_only_names_of_the_home_are_opened(make_directory: MakeDirectory, tmp_path: Path, name: str) -> None:
    make_directory(RECOGNITION, *PADDLE, name="tiny_rec")
    with pytest.raises(ModelUnknown, match="tiny_rec"):
        ModelHome(tmp_path).open(name)


def test_an_empty_home_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="none"):
        ModelHome(tmp_path / "nowhere").open("PP-OCRv4_mobile_rec")
