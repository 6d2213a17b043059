"""Runs conversions in a process of their own and checks the digests of the files that they make."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from paddlewheel.errors import ModelFilesRefused, ModelUnavailable
from workers.models.conversion.__main__ import SOURCE

_MODULE = __name__.rpartition(".")[0]


class PinnedConversion(Protocol):
    """A conversion as the catalog pins it."""

    @property
    def kind(self) -> str:
        """Its name in `CONVERSIONS`."""

    @property
    def files(self) -> Mapping[str, str]:
        """The SHA-256 of each file that it makes, by name."""


def convert(jobs: Iterable[tuple[PinnedConversion, bytes]]) -> list[dict[str, bytes]]:
    """The files that each conversion makes from its source, by name.

    Raises ModelUnavailable when one fails, ModelFilesRefused when its files differ from the pinned ones.
    """
    with TemporaryDirectory(prefix="paddlewheel-") as home:
        folders: list[tuple[PinnedConversion, Path]] = []
        for conversion, source in jobs:
            folder = Path(home) / str(len(folders))
            folder.mkdir()
            (folder / SOURCE).write_bytes(source)
            folders.append((conversion, folder))
        if folders:
            _run(folders)
        return [_read_files(conversion, folder) for conversion, folder in folders]


def _run(folders: Iterable[tuple[PinnedConversion, Path]]) -> None:
    """Run all conversions in one process: importing Paddle takes seconds."""
    pairs = [part for conversion, folder in folders for part in (conversion.kind, str(folder))]
    command = [sys.executable, "-m", _MODULE, *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelUnavailable(f"The weights of a package could not be converted: {reason}")


def _read_files(conversion: PinnedConversion, folder: Path) -> dict[str, bytes]:
    files = {name: (folder / name).read_bytes() for name in conversion.files}
    for name, content in files.items():
        found = sha256(content).hexdigest()
        if found != conversion.files[name]:
            raise ModelFilesRefused(
                f"The conversion {conversion.kind} made another {name} than the catalog pins: its SHA-256 is "
                f"{found}, not {conversion.files[name]}. It is pinned for the Paddle of the lock file."
            )
    return files
