"""`paddlewheel models`, as somebody types it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from paddlewheel.cli import main
from tests.model_archives import model_tar
from tests.model_site import ModelSite, serving
from tests.unit.models.conftest import RECOGNITION, MakeDirectory
from workers.models.engines.choice import Conditions, EngineChoice, EngineChoiceCache, EngineTiming
from workers.models.home.official import official_catalog

NAME = "PP-OCRv5_server_rec"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "PADDLE_PDX_MODEL_SOURCE",
        "PADDLE_PDX_HUGGING_FACE_ENDPOINT",
        "PADDLEWHEEL_MODEL_DIRECTORIES",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PADDLEWHEEL_MODEL_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def site() -> Iterator[ModelSite]:
    model = model_tar({**RECOGNITION, "Global": {"model_name": NAME}})
    with serving(ModelSite(files={f"/paddle3.0.0/{NAME}_infer.tar": model})) as started:
        yield started


def models(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


@pytest.mark.usefixtures("home")
def test_the_list_has_every_model_and_filters() -> None:
    lines = models("list").output.splitlines()
    assert len(lines) > len(official_catalog().models)
    faces = models("list", "--family", "object_detection").output
    assert "BlazeFace" in faces
    assert "PP-OCR" not in faces
    assert models("list", "--installed").output.split() == [
        "MODEL",
        "FAMILY",
        "FROM",
        "MB",
        "PUBLISHED",
        "HERE",
    ]


@pytest.mark.usefixtures("home")
def test_the_list_has_models_put_there_by_hand_and_elsewhere(
    make_directory: MakeDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(RECOGNITION, "inference.onnx", name="tuned_rec")
    shown = json.loads(models("list", "--installed", "--json").output)
    assert [(each["name"], each["family"], each["installed"]["state"]) for each in shown] == [
        ("tuned_rec", "text_recognition", "by hand")
    ]
    monkeypatch.setenv("PADDLEWHEEL_MODEL_DIRECTORIES", f"mine={shown[0]['installed']['path']}")
    shown = json.loads(models("list", "--installed", "--json").output)
    assert [each["name"] for each in shown] == ["mine", "tuned_rec"]


@pytest.mark.usefixtures("home")
def test_showing_a_model_tells_all_that_is_known() -> None:
    shown = models("show", "PP-OCRv4_server_rec").output
    for fact in ("79.2", "85.19", "140.179", "36.93", "Apache-2.0", "Gold 5117", "Gold 6271C", "bcebos.com"):
        assert fact in shown
    assert "models pull PP-OCRv4_server_rec" in shown
    as_object = json.loads(models("show", "MobileFaceNet", "--json").output)
    assert as_object["dimension"] == 128
    assert as_object["figures"][0]["environment"]["gpu"] == "NVIDIA Tesla T4, FP32"
    assert (as_object["installed"], as_object["engine"]) == (None, None)


def test_the_measured_engine_is_shown(home: Path) -> None:
    conditions = Conditions(
        files="f",
        engines={"paddle": "3"},
        processor="p",
        cores=2,
        threads=1,
        precision="fp32",
        enable_mkldnn=True,
        items=((((3, 48, 320),)),),
        batch_sizes=(1, 8),
    )
    figures = (
        EngineTiming(engine="openvino", refused="differs by 0.2"),
        EngineTiming(engine="paddle", milliseconds={1: 12.34, 8: 9.87}),
    )
    choice = EngineChoice(
        model="mine",
        engine="paddle",
        reference="paddle",
        tolerance=1e-3,
        figures=figures,
        conditions=conditions,
    )
    EngineChoiceCache(home).store(choice)
    (home / "mine").mkdir()
    (home / "mine" / "inference.yml").write_text(json.dumps(RECOGNITION))
    (home / "mine" / "inference.onnx").write_bytes(b"x")
    shown = models("show", "mine").output
    assert "in batches of 1 / 8: openvino differs by 0.2, paddle 12.3 / 9.9" in shown
    assert json.loads(models("show", "mine", "--json").output)["engine"]["engine"] == "paddle"


@pytest.mark.usefixtures("home")
def test_a_misspelt_name_is_answered_with_what_was_meant() -> None:
    for command in ("show", "pull"):
        refused = models(command, "pp-ocrv5_server_rek")
        assert refused.exit_code == 1
        assert "did you mean PP-OCRv5_server_rec" in refused.output


def test_a_model_is_pulled_shown_and_repaired(home: Path, site: ModelSite) -> None:
    done = models("pull", NAME, "--mirror", site.url, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [{"name": NAME, "path": str(home / NAME)}]
    assert f"from {site.url}/paddle3.0.0" in done.stderr
    assert "installed, in" in models("show", NAME).output
    (home / NAME / "inference.pdiparams").write_bytes(b"altered")
    assert "altered, in" in models("show", NAME).output
    refused = models("pull", NAME, "--mirror", site.url)
    assert (refused.exit_code, "error[model_unavailable]" in refused.stderr) == (3, True)
    assert models("pull", NAME, "--mirror", site.url, "--repair").exit_code == 0
    assert "installed, in" in models("show", NAME).output


def test_nothing_is_pulled_when_one_name_is_wrong(home: Path, site: ModelSite) -> None:
    assert models("pull", NAME, "nonsense", "--mirror", site.url).exit_code == 1
    assert site.asked == []
    assert not list(home.iterdir())


def test_a_failed_pull_is_one_line_and_may_work_later(home: Path, site: ModelSite) -> None:
    failed = models("pull", "BlazeFace", "--mirror", site.url)
    assert failed.exit_code == 3
    assert failed.stderr.splitlines()[-1].startswith(
        "error[model_download_failed]: BlazeFace is not published"
    )
    assert not (home / "BlazeFace").exists()


@pytest.mark.usefixtures("home")
def test_paddlexs_variable_names_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_PDX_MODEL_SOURCE", "modelscope")
    refused = models("pull", NAME)
    assert refused.exit_code == 2
    assert "choose bos" in refused.output


def test_a_model_that_is_mapped_elsewhere_is_not_pulled_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDLEWHEEL_MODEL_DIRECTORIES", f"{NAME}={home}")
    refused = models("pull", NAME)
    assert refused.exit_code == 2
    assert "would not be used" in refused.output


@pytest.mark.parametrize("text", ["name", "=path", "name=", "a=/x,a=/y"])
def test_directories_that_cannot_be_read_are_refused(text: str) -> None:
    refused = models("list", "--directories", text)
    assert refused.exit_code == 2
    assert "error[configuration_error]" in refused.output


def test_where_only_the_client_is_a_sentence_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "admin.models", None)
    refused = models("list")
    assert refused.exit_code == 2
    assert "where the server is" in refused.output


def test_it_runs_as_a_module_where_no_script_is_installed(home: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "paddlewheel",
        "models",
        "list",
        "--installed",
        "--home",
        str(home),
        "--json",
    ]
    assert json.loads(subprocess.run(line, capture_output=True, check=True).stdout) == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from paddlewheel.cli import main; main(['--help'], standalone_mode=False); "
        "print(sorted({'numpy', 'cv2', 'yaml', 'workers', 'paddle', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "models" in done.stdout
