"""Segment files in an object store or on a network volume, read through a checked local copy."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from index_store.segment_file import check_file
from index_store.segment_folder import SegmentFolder, is_segment, sync_folder
from paddlewheel.blobs.refusals import explained, has_folders, refusal_of
from paddlewheel.errors import SegmentCorrupt, SegmentStoreUnavailable


class SegmentObjects:
    """Files under any fsspec URL, with a local folder for copies and for files that are being written.

    A copy is used only when its SHA-256 is right; a wrong one is fetched again. One folder of copies serves
    all processes of a machine. `options` go to fsspec as they are.
    """

    def __init__(self, url: str, copies: Path, **options: Any) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url, **options)
        self._url = url
        self._copies = copies
        self._local = SegmentFolder(copies)
        with self._translate_errors():
            self._make_root()

    def scratch(self, name: str) -> Path:
        """A path among the local copies."""
        return self._local.scratch(name)

    def publish(self, name: str) -> None:
        """Upload the file; nothing refers to it before the transaction that follows."""
        scratch = self.scratch(name)
        try:
            with self._translate_errors():
                self._make_root()
                self._files.put_file(str(scratch), self._remote(name))
                if isinstance(self._files, LocalFileSystem):
                    _sync(Path(self._remote(name)))
                stored = self._files.info(self._remote(name))["size"]
            written = scratch.stat().st_size
        except FileNotFoundError as err:
            raise SegmentStoreUnavailable(f"{name} vanished on its way to {self._url}.") from err
        if stored != written:
            raise SegmentStoreUnavailable(f"{self._url} has stored only {stored} bytes of {name}.")
        self._local.publish(name)

    def fetch(self, name: str, size: int, digest: str) -> Path:
        """The local copy, fetched when there is none or a wrong one."""
        copy = self._copies / name
        with suppress(SegmentCorrupt):
            return check_file(copy, size, digest)
        part = self._local.scratch(f"{name}.{uuid.uuid4().hex}")
        try:
            with self._translate_errors():
                self._files.get_file(self._remote(name), str(part))
            check_file(part, size, digest)
            part.replace(copy)
        except FileNotFoundError as err:
            raise SegmentCorrupt(f"The segment file {name} is missing in {self._url}.") from err
        finally:
            part.unlink(missing_ok=True)
        return copy

    def delete(self, name: str) -> None:
        """Delete the object, and what this machine has of it."""
        with self._translate_errors(), suppress(FileNotFoundError):
            self._files.rm_file(self._remote(name))
            if isinstance(self._files, LocalFileSystem):
                sync_folder(Path(self._root))
        self._local.delete(name)

    def names(self) -> Iterator[tuple[str, float]]:
        """Every segment's object with its age in seconds; 0 where the store does not say."""
        found: list[dict[str, Any]] = []
        # Object stores have no empty folders.
        with suppress(FileNotFoundError), self._translate_errors():
            found = self._files.ls(self._root, detail=True, refresh=True)
        for entry in found:
            name = entry["name"].rpartition("/")[2]
            if entry["type"] == "file" and is_segment(name):
                yield name, _age(entry)

    def sweep(self, older_than: float, keep: set[str]) -> tuple[str, ...]:
        """Delete old scratch files, and the copies of deleted files."""
        return self._local.sweep(older_than, keep) + self._local.sweep_copies(keep)

    def _make_root(self) -> None:
        if has_folders(self._files):
            self._files.makedirs(self._root, exist_ok=True)

    def _remote(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise one error: the libraries of stores have no common base class but Exception."""
        try:
            yield
        except Exception as err:
            refusal = refusal_of(err)
            if refusal == "no_object":
                raise
            words = f"{err}." if refusal == "away" and isinstance(err, OSError) else explained(err)
            raise SegmentStoreUnavailable(f"{self._url} cannot be used: {words}") from err


def _age(entry: dict[str, Any]) -> float:
    stamp = next((entry[name] for name in ("LastModified", "mtime", "created") if name in entry), None)
    if isinstance(stamp, datetime):
        stamp = stamp.timestamp()
    return time.time() - stamp if isinstance(stamp, int | float) else 0.0


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)
