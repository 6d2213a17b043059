"""Installing from packages, with a package of a few bytes in the place of the download."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from paddlewheel.errors import ModelUnavailable, ModelUnknown
from tests.unit.models.conftest import DETECTION, RECOGNITION
from workers.models.home import package_archive, packages
from workers.models.home.catalog import CATALOG, CatalogEntry, PackageConversion, PackageLabels
from workers.models.home.directory import ModelDirectory
from workers.models.home.install import main
from workers.models.home.onnx_metadata import onnx_metadata
from workers.models.home.package_archive import Package, PackageFile
from workers.models.home.packages import altered_files, install


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def onnx_file(metadata: Mapping[str, str]) -> bytes:
    """An ONNX file: a version, a graph of some bytes, and the metadata."""
    pairs = b"".join(
        field(14, field(1, key.encode()) + field(2, value.encode())) for key, value in metadata.items()
    )
    return b"\x08\x07" + field(7, bytes(300)) + pairs


MEMBERS = {
    "weights/rec.pdmodel": b"graph",
    "weights/rec.pdiparams": b"params",
    "weights/det.onnx": b"det",
    "weights/rec.onnx": onnx_file({"character": "x\ny\n\u2028\n'", "other": "1"}),
    "keys.txt": "甲\n乙\n#\n".encode(),
}


def pinned(member: str) -> PackageFile:
    return PackageFile(member=member, sha256=sha256(MEMBERS[member]).hexdigest())


def entry(
    name: str, family: Any, config: Mapping[str, Any], dictionary: str | None, **weights: str
) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        family=family,
        licence="Apache-2.0",
        package=Package(name="some-models", version="1.0"),
        weights={f"inference.{suffix}": pinned(member) for suffix, member in weights.items()},
        config={**config, "Global": {"model_name": name}},
        dictionary=pinned(dictionary) if dictionary else None,
    )


TINY = {
    each.name: each
    for each in (
        entry(
            "rec",
            "text_recognition",
            RECOGNITION,
            "keys.txt",
            pdmodel="weights/rec.pdmodel",
            pdiparams="weights/rec.pdiparams",
        ),
        entry("rec_onnx", "text_recognition", RECOGNITION, None, onnx="weights/rec.onnx"),
        entry("det", "text_detection", DETECTION, None, onnx="weights/det.onnx"),
    )
}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages that were fetched; the catalog is `TINY`, the package `MEMBERS`."""
    fetches: list[str] = []

    def fetch(package: Package, folder: Path) -> package_archive.ReadMember:
        assert folder.is_dir()
        fetches.append(str(package))
        return MEMBERS.__getitem__

    monkeypatch.setattr(packages, "CATALOG", TINY)
    monkeypatch.setattr(package_archive, "fetch", fetch)
    return fetches


def test_models_are_written_with_their_config_and_dictionary(tmp_path: Path, fetched: list[str]) -> None:
    install(TINY, tmp_path)
    assert fetched == ["some-models==1.0"]
    assert ModelDirectory.open(tmp_path / "rec").config["PostProcess"]["character_dict"] == ["甲", "乙", "#"]
    onnx = ModelDirectory.open(tmp_path / "rec_onnx").config["PostProcess"]["character_dict"]
    assert onnx == ["x", "y", "\u2028", "'"]
    assert ModelDirectory.open(tmp_path / "det").family == "text_detection"
    assert not list(tmp_path.rglob(".*"))


def test_a_second_installation_fetches_nothing(tmp_path: Path, fetched: list[str]) -> None:
    install(["rec"], tmp_path)
    lines: list[str] = []
    install(["rec", "rec"], tmp_path, report=lines.append)
    assert fetched == ["some-models==1.0"]
    assert lines == ["rec: already there"]


@pytest.mark.parametrize("lost", ["inference.pdiparams", "inference.yml", "installed.json"])
def test_a_half_done_installation_is_completed(tmp_path: Path, fetched: list[str], lost: str) -> None:
    install(["rec"], tmp_path)
    (tmp_path / "rec" / lost).unlink()
    assert altered_files(tmp_path / "rec") is None
    install(["rec"], tmp_path)
    assert altered_files(tmp_path / "rec") == ()
    assert len(fetched) == 2


def test_an_altered_file_is_noticed_and_only_restored_on_request(tmp_path: Path, fetched: list[str]) -> None:
    install(["rec"], tmp_path)
    config = tmp_path / "rec" / "inference.yml"
    config.write_text("Global: {model_name: mine}")
    with pytest.raises(ModelUnavailable, match=r"inference\.yml changed since"):
        install(["rec"], tmp_path)
    assert "mine" in config.read_text()
    install(["rec"], tmp_path, repair=True)
    assert ModelDirectory.open(tmp_path / "rec").name == "rec"
    assert len(fetched) == 2


def test_a_changed_catalog_entry_is_installed_again(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(["det"], tmp_path)
    settings = {**DETECTION["PostProcess"], "box_thresh": 0.25}
    changed = replace(TINY["det"], config={**TINY["det"].config, "PostProcess": settings})
    monkeypatch.setitem(TINY, "det", changed)
    install(["det"], tmp_path)
    assert ModelDirectory.open(tmp_path / "det").config["PostProcess"]["box_thresh"] == 0.25
    install(["det"], tmp_path)
    assert len(fetched) == 2


def test_a_damaged_record_is_explained(tmp_path: Path, fetched: list[str]) -> None:
    install(["det"], tmp_path)
    (tmp_path / "det" / "installed.json").write_text("[]")
    with pytest.raises(ModelUnavailable, match="delete it and install again"):
        install(["det"], tmp_path)
    assert len(fetched) == 1


def test_a_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MEMBERS, "weights/rec.pdiparams", b"tampered")
    with pytest.raises(ModelUnavailable, match="not the file that the catalog pins"):
        install(["rec"], tmp_path)
    assert fetched
    assert not (tmp_path / "rec").exists()


def test_a_member_that_the_package_lacks_is_named(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MEMBERS, "keys.txt")
    with pytest.raises(ModelUnavailable, match=r"has no keys\.txt"):
        install(["rec"], tmp_path)
    assert fetched


def test_a_converted_model_gets_the_files_of_its_conversion_and_its_labels(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MEMBERS, "labels.json", b'{"1": "dog", "0": "cat"}')
    conversion = PackageConversion(
        kind="some", source=pinned("weights/det.onnx"), files={"inference.onnx": ""}
    )
    converted = CatalogEntry(
        name="pets",
        family="image_classification",
        licence="MIT",
        package=Package(name="some-models", version="1.0"),
        conversion=conversion,
        labels=PackageLabels(package=Package(name="labels", version="2"), file=pinned("labels.json")),
        config={"Global": {"model_name": "pets"}, "PostProcess": {"Topk": {"topk": 1}}},
    )
    jobs: list[tuple[PackageConversion, bytes]] = []

    def convert(given: Iterable[tuple[PackageConversion, bytes]]) -> list[dict[str, bytes]]:
        jobs.extend(given)
        return [{"inference.onnx": b"made"} for _ in jobs]

    monkeypatch.setattr(packages, "convert", convert)
    monkeypatch.setitem(TINY, "pets", converted)
    install(["pets"], tmp_path)
    assert jobs == [(conversion, MEMBERS["weights/det.onnx"])]
    assert fetched == ["some-models==1.0", "labels==2"]
    directory = ModelDirectory.open(tmp_path / "pets")
    assert directory.config["PostProcess"]["Topk"] == {"topk": 1, "label_list": ["cat", "dog"]}
    assert (tmp_path / "pets" / "inference.onnx").read_bytes() == b"made"
    assert altered_files(tmp_path / "pets") == ()


def test_an_unknown_name_is_refused_before_anything_is_fetched(tmp_path: Path, fetched: list[str]) -> None:
    with pytest.raises(ModelUnknown, match="no tuned"):
        install(["rec", "tuned"], tmp_path)
    assert fetched == []


def test_the_command_reports_and_fails_with_a_sentence(tmp_path: Path, fetched: list[str]) -> None:
    done = CliRunner().invoke(main, ["rec", "--home", str(tmp_path)])
    assert done.exit_code == 0
    assert "rec: installed (Apache-2.0, from some-models==1.0)" in done.output
    (tmp_path / "rec" / "inference.pdmodel").write_bytes(b"")
    failed = CliRunner().invoke(main, ["rec", "--home", str(tmp_path)])
    assert failed.exit_code == 1
    assert "--repair" in failed.output
    assert len(fetched) == 1


def test_every_entry_of_the_catalog_is_pinned_and_fits_its_family(tmp_path: Path) -> None:
    for name, each in CATALOG.items():
        assert bool(each.weights) != bool(each.conversion)
        made = each.conversion.files if each.conversion else {}
        files = [*each.weights.values(), each.dictionary, each.conversion and each.conversion.source]
        digests = [*made.values(), *(file.sha256 for file in files if file)]
        assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
        directory = tmp_path / name
        directory.mkdir()
        (directory / "inference.yml").write_text(yaml.safe_dump(dict(each.config)))
        for file in (*each.weights, *made):
            (directory / file).touch()
        opened = ModelDirectory.open(directory)
        assert (opened.name, opened.family) == (name, each.family)


def test_metadata_is_read_past_everything_else() -> None:
    assert onnx_metadata(onnx_file({"character": "a\nb", "k": "v"})) == {"character": "a\nb", "k": "v"}
    assert onnx_metadata(b"") == {}


@pytest.mark.parametrize("broken", [onnx_file({"a": "b"})[:-1], b"\x0b", b"\x08", b"\xff" * 20])
def test_bytes_that_are_no_onnx_file_are_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|wire type|too long"):
        onnx_metadata(broken)
