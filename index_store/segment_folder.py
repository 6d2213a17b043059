"""Where segment files live: a folder of this machine, or one that machines share."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from api_client.errors import SegmentStoreUnavailable
from index_store.segment_file import check_file

_SCRATCH = ".tmp"


class SegmentFiles(Protocol):
    """A place for immutable files, known by name. Every method may raise SegmentStoreUnavailable."""

    def scratch(self, name: str) -> Path:
        """A local path to write the file to, before it is published."""
        ...

    def publish(self, name: str) -> None:
        """Make the scratch file durable under its name, in one step."""
        ...

    def fetch(self, name: str, size: int, digest: str) -> Path:
        """A local path of the file, which was just checked; SegmentCorrupt where that fails."""
        ...

    def delete(self, name: str) -> None:
        """Delete the file, its local copy and its scratch file, those that there are."""
        ...

    def names(self) -> Iterator[tuple[str, float]]:
        """Every file with its age in seconds."""
        ...

    def sweep(self, older_than: float, keep: set[str]) -> tuple[str, ...]:
        """Delete what is local, older than that many seconds, and not of a file in `keep`."""
        ...


class SegmentFolder:
    """A folder. Deleting a file that a reader has mapped is safe on a local file system.

    On a network file system it is not (the mapping fails): use `SegmentObjects` over its path there, which
    reads through a local copy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as err:
            raise _unavailable(folder, err) from err

    def scratch(self, name: str) -> Path:
        """A path beside the final one, so that publishing is a rename."""
        return self._folder / f"{name}{_SCRATCH}"

    def publish(self, name: str) -> None:
        """Rename the scratch file and force the folder to the disk."""
        try:
            self.scratch(name).replace(self._folder / name)
            sync_folder(self._folder)
        except OSError as err:
            raise _unavailable(self._folder, err) from err

    def fetch(self, name: str, size: int, digest: str) -> Path:
        """The file itself."""
        return check_file(self._folder / name, size, digest)

    def delete(self, name: str) -> None:
        """Delete file and scratch file."""
        try:
            (self._folder / name).unlink(missing_ok=True)
            self.scratch(name).unlink(missing_ok=True)
        except OSError as err:
            raise _unavailable(self._folder, err) from err

    def names(self) -> Iterator[tuple[str, float]]:
        """Every published file with its age in seconds."""
        for path, age in _aged(self._folder):
            if not path.name.endswith(_SCRATCH):
                yield path.name, age

    def sweep(self, older_than: float, keep: set[str]) -> tuple[str, ...]:
        """Delete scratch files of nobody that were not touched for so long."""
        kept = {f"{name}{_SCRATCH}" for name in keep}
        return sweep_folder(
            self._folder, older_than, lambda path: path.suffix == _SCRATCH and path.name not in kept
        )


def sync_folder(folder: Path) -> None:
    """Force the folder's entries to the disk: a rename is durable only after that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_folder(folder: Path, older_than: float, unwanted: "Unwanted") -> tuple[str, ...]:
    """Delete the unwanted files that are older than so many seconds; returns their names."""
    swept = []
    for path, age in _aged(folder):
        if age > older_than and unwanted(path):
            path.unlink(missing_ok=True)
            swept.append(path.name)
    return tuple(swept)


class Unwanted(Protocol):
    """Whether a file may go."""

    def __call__(self, path: Path, /) -> bool: ...


def _aged(folder: Path) -> Iterator[tuple[Path, float]]:
    now = time.time()
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):
            yield path, now - path.stat().st_mtime


def _unavailable(folder: Path, err: OSError) -> SegmentStoreUnavailable:
    return SegmentStoreUnavailable(f"The segment folder {folder} cannot be used: {err.strerror}.")
