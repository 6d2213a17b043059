"""Where segment files live: a folder of this machine, or one that machines share."""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from index_store.segment_file import check_file
from paddlewheel.errors import SegmentStoreUnavailable

_SCRATCH = ".tmp"
_NEW_SECONDS = 60.0
_NAME = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.segment"
_SEGMENT_NAME = re.compile(_NAME)
_SCRATCH_NAME = re.compile(rf"{_NAME}(\.[0-9a-f]{{32}})?{re.escape(_SCRATCH)}")


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
        """Delete the file, its local copy and its scratch file, as far as they exist, durably."""
        ...

    def names(self) -> Iterator[tuple[str, float]]:
        """Every published segment file with its age in seconds; nothing else that is there."""
        ...

    def sweep(self, older_than: float, keep: set[str]) -> tuple[str, ...]:
        """Delete what is local, older than that many seconds, and not of a file in `keep`."""
        ...


class SegmentFolder:
    """A folder, made when it is missing. Deleting a file that a reader has mapped is safe on a local disk.

    On a network file system the mapping would fail: use `SegmentObjects` over its path there, which reads
    through a local copy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._usable():
            pass

    def scratch(self, name: str) -> Path:
        """A path beside the final one, so that publishing is a rename."""
        with self._usable():
            return self._scratch(name)

    def publish(self, name: str) -> None:
        """Rename the scratch file and force the folder to the disk."""
        with self._usable():
            self._scratch(name).replace(self._folder / name)
            sync_folder(self._folder)

    def fetch(self, name: str, size: int, digest: str) -> Path:
        """The file itself."""
        return check_file(self._folder / name, size, digest)

    def delete(self, name: str) -> None:
        """Delete file and scratch file, and force that to the disk, or a power cut would bring them back."""
        with self._usable():
            (self._folder / name).unlink(missing_ok=True)
            self._scratch(name).unlink(missing_ok=True)
            sync_folder(self._folder)

    def names(self) -> Iterator[tuple[str, float]]:
        """Every published file with its age in seconds."""
        with self._usable():
            found = [(path.name, age) for path, age in _aged(self._folder) if is_segment(path.name)]
        yield from found

    def sweep(self, older_than: float, keep: set[str]) -> tuple[str, ...]:
        """Delete abandoned scratch files that are older than that many seconds."""
        kept = {f"{name}{_SCRATCH}" for name in keep}
        return self._sweep(older_than, lambda name: bool(_SCRATCH_NAME.fullmatch(name)) and name not in kept)

    def sweep_copies(self, keep: set[str]) -> tuple[str, ...]:
        """Delete every file that is not in `keep`: for a folder that has nothing but copies.

        One that was fetched since `keep` was made is spared by its age.
        """
        return self._sweep(_NEW_SECONDS, lambda name: is_segment(name) and name not in keep)

    def _scratch(self, name: str) -> Path:
        return self._folder / f"{name}{_SCRATCH}"

    def _sweep(self, older_than: float, unwanted: "RemovalCheck") -> tuple[str, ...]:
        swept = []
        with self._usable():
            for path, age in _aged(self._folder):
                if age > older_than and unwanted(path.name):
                    path.unlink(missing_ok=True)
                    swept.append(path.name)
        return tuple(swept)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Make the folder where it is missing, and raise one error for any failure in it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            yield
        except OSError as err:
            raise SegmentStoreUnavailable(
                f"The segment folder {self._folder} cannot be used: {err.strerror}."
            ) from err


def is_segment(name: str) -> bool:
    """Whether a published segment may have that name; other files in the place are not ours."""
    return bool(_SEGMENT_NAME.fullmatch(name))


def sync_folder(folder: Path) -> None:
    """Force the folder's entries to the disk: a rename is durable only after that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RemovalCheck(Protocol):
    """Whether the file of that name may go."""

    def __call__(self, name: str, /) -> bool: ...


def _aged(folder: Path) -> Iterator[tuple[Path, float]]:
    """The regular files, no links, each with its age in seconds."""
    now = time.time()
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield path, now - found.st_mtime
