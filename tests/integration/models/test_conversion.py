"""Networks written as Paddle programs, against the same layers in numpy; and the refusals of a conversion."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import yaml

from local.checkout import CHECKOUT
from paddlewheel.errors import ModelFilesRefused, ModelUnavailable
from tests.integration.models.every_layer import NumpyLayers, build
from workers.models.conversion import centerface, dlib_face_resnet
from workers.models.conversion.process import convert
from workers.models.engines.opening import open_session
from workers.models.engines.session import SessionOptions
from workers.models.home.catalog import PackageConversion
from workers.models.home.directory import ModelDirectory
from workers.models.home.package_archive import PackageFile


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of the small network."""
    folder = tmp_path_factory.mktemp("every_layer")
    command = [sys.executable, "-m", "tests.integration.models.every_layer", str(folder)]
    subprocess.run(command, check=True, cwd=CHECKOUT, capture_output=True)
    assert (folder / "graph_0").read_bytes() == (folder / "graph_1").read_bytes()
    assert (folder / "params_0").read_bytes() == (folder / "params_1").read_bytes()
    (folder / "graph_0").rename(folder / "inference.pdmodel")
    (folder / "params_0").rename(folder / "inference.pdiparams")
    config = {"Global": {"model_name": "every_layer"}, "PostProcess": {"NormalizeFeatures": None}}
    (folder / "inference.yml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize("engine", ["paddle", "openvino"])
def test_every_layer_computes_what_numpy_does_on_each_engine(written: Path, engine: str) -> None:
    x = np.random.default_rng(6).normal(size=(3, 3, 16, 24)).astype(np.float32)
    expected = build(NumpyLayers(x), np.random.default_rng(5))
    session = open_session(ModelDirectory.open(written), SessionOptions(engine=engine))  # type: ignore[arg-type]
    for found, wanted in zip(session.run(x), expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_a_program_names_no_folder_of_this_machine(written: Path) -> None:
    assert b".py" not in (written / "inference.pdmodel").read_bytes()


def conversion(kind: str, source: bytes) -> PackageConversion:
    file = PackageFile(member="weights", sha256=sha256(source).hexdigest())
    return PackageConversion(kind=kind, source=file, files={"inference.pdmodel": "0" * 64})


def test_weights_that_are_another_networks_are_refused() -> None:
    def picture(side: int) -> NumpyLayers:
        return NumpyLayers(np.zeros((1, 3, side, side), dtype=np.float32))

    with pytest.raises(ValueError, match="con_4 with 4736 numbers was expected"):
        dlib_face_resnet.build(picture(150), b"nothing")
    with pytest.raises(ValueError, match="this is not CenterFace"):
        centerface.build(picture(64), b"")
    with pytest.raises(ValueError, match="wire type"):
        centerface.open_onnx(b"\x0b")


def test_a_conversion_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.models.conversion.process._MODULE", "workers.models.no_conversion")
    with pytest.raises(ModelUnavailable, match=r"could not be converted: .*no_conversion"):
        convert([(conversion("centerface", b"onnx"), b"onnx")])


def test_what_differs_from_the_catalogs_digest_is_refused(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(folders: list[tuple[PackageConversion, Path]]) -> None:
        for _, folder in folders:
            (folder / "inference.pdmodel").write_bytes((written / "inference.pdmodel").read_bytes())

    monkeypatch.setattr("workers.models.conversion.process._run", made)
    with pytest.raises(ModelFilesRefused, match=r"another inference\.pdmodel than the catalog pins"):
        convert([(conversion("centerface", b"onnx"), b"onnx")])
