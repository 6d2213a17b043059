"""Which model a gallery belongs to, and which one a request means."""

from pathlib import Path
from typing import Any, cast

import pytest

from paddlewheel.errors import FamilyNotServed, ModelMismatch, ModelUnknown
from workers.models.home.directory import ModelDirectory
from workers.services.embedders import Embedder, GalleryModel, bound_to, files_digest, model_for
from workers.services.model_choice import choose_model
from workers.services.thresholds import default_thresholds


class Named:
    name = "MobileFaceNet"


EMBEDDER = Embedder(model=cast(Any, Named()), digest="0123456789abcdef")


def test_a_fingerprint_says_the_kind_the_model_and_how_faces_are_cut_out() -> None:
    faces = EMBEDDER.fingerprint("faces", "aligned")
    assert faces == "faces/MobileFaceNet@0123456789abcdef/aligned"
    assert bound_to(faces) == GalleryModel(kind="faces", model="MobileFaceNet")
    assert bound_to(EMBEDDER.fingerprint("images")) == GalleryModel(kind="images", model="MobileFaceNet")
    assert EMBEDDER.fingerprint("faces", "cropped") != faces


@pytest.mark.parametrize("fingerprint", [None, "", "my model, version 3", "texts/a@0f"])
def test_a_fingerprint_of_others_binds_to_nothing(fingerprint: str | None) -> None:
    assert bound_to(fingerprint) is None
    assert model_for(fingerprint, "faces", None) is None
    assert model_for(fingerprint, "faces", "mine") == "mine"


def test_the_gallery_says_which_model_embeds() -> None:
    fingerprint = EMBEDDER.fingerprint("images")
    assert model_for(fingerprint, "images", None) == "MobileFaceNet"
    assert model_for(fingerprint, "images", "MobileFaceNet") == "MobileFaceNet"
    with pytest.raises(ModelMismatch, match="gallery of images"):
        model_for(fingerprint, "faces", None)
    with pytest.raises(ModelMismatch, match="Other is asked for"):
        model_for(fingerprint, "images", "Other")


def test_a_digest_is_of_the_config_and_of_the_weights(tmp_path: Path) -> None:
    (tmp_path / "inference.onnx").write_bytes(b"weights")
    config = "Global: {model_name: m}\nPostProcess: {NormalizeFeatures: null}\n"
    digests = set()
    for text, weights in ((config, b"a"), (config, b"b"), (config + "# changed\n", b"b")):
        (tmp_path / "inference.yml").write_text(text)
        (tmp_path / "inference.onnx").write_bytes(weights)
        digests.add(files_digest(ModelDirectory.open(tmp_path)))
    assert len(digests) == 3
    assert files_digest(ModelDirectory.open(tmp_path)) in digests
    assert files_digest(ModelDirectory.open(tmp_path), flip=True) not in digests


def test_a_request_means_the_first_model_or_the_one_that_it_names() -> None:
    models = {"first": 1, "second": 2}
    assert choose_model(models, None, "things") == 1
    assert choose_model(models, "second", "things") == 2
    with pytest.raises(ModelUnknown, match="no model 'third' of things; it has first, second"):
        choose_model(models, "third", "things")
    with pytest.raises(FamilyNotServed, match="no model of things"):
        choose_model({}, None, "things")


def test_thresholds_are_those_of_the_catalog() -> None:
    found = default_thresholds(["MobileFaceNet", "PP-ShiTuV2_rec", "DlibFaceResNet", "my-own"])
    assert found["MobileFaceNet"] == 0.4
    assert found["PP-ShiTuV2_rec"] == 0.5
    assert "my-own" not in found
    assert 0.9 < found["DlibFaceResNet"] < 0.93
