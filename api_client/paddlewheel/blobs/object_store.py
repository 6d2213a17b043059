"""Blobs in whatever file system fsspec knows: `s3://bucket/folder`, `gcs://...`, `memory://...`.

The layout is that of the shared folder. Such stores set the modification time themselves, so a blob
expires at its modification time plus the time to live, where the file system tells it.
"""

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from paddlewheel.blobs.content import ContentStore, digest_of
from paddlewheel.blobs.refusals import explained, has_folders
from paddlewheel.errors import BlobError, BlobStoreUnavailable, ConfigurationError, MissingExtra

EMPTY = digest_of(b"")
"""Object stores refuse to read a range of an empty object, so that one is only looked for."""
RENEWED_BELOW = 0.5
"""A put writes a blob again once less than this part of its life is left; before, it sends no bytes."""


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        file_system, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as err:
        raise MissingExtra(
            f"The blob store's URL needs a package that is not installed ({err}): "
            "pip install 'paddlewheel[fsspec]' and the package of that file system."
        ) from err
    except (ValueError, TypeError) as err:
        raise ConfigurationError(f"No file system is known for the blob store's URL: {err}.") from err
    return file_system, root.rstrip("/")


@contextmanager
def _translated() -> Iterator[None]:
    """A file system raises errors of its own libraries, which share no base class but Exception."""
    try:
        yield
    except Exception as err:
        raise BlobStoreUnavailable(f"The blob store cannot be used. {explained(err)}") from err


class FsspecBlobStore(ContentStore):
    """Blobs as objects `ab/cd/<digest>` below the URL."""

    def __init__(self, url: str, *, ttl: float, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        super().__init__(ttl=ttl, max_bytes=max_bytes, now=now)
        self._files, self._root = _file_system(url)

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest[2:4]}/{digest}"

    def _write(self, blobs: Mapping[str, bytes]) -> Mapping[str, float | None]:
        kept: dict[str, float | None] = {}
        uploads: dict[str, bytes] = {}
        soon = self._now() + self._ttl * RENEWED_BELOW
        with _translated():
            for digest, data in blobs.items():
                expires_at = kept[digest] = self._expires_at(self._path(digest))
                if expires_at is not None and expires_at < soon:
                    uploads[self._path(digest)] = data
                    kept[digest] = self._now() + self._ttl
            self._upload(uploads)
        return kept

    def _upload(self, uploads: Mapping[str, bytes]) -> None:
        """All at once where the file system can; folders are made only where it wants them."""
        if not uploads:
            return
        try:
            self._files.pipe(dict(uploads))
        except FileNotFoundError:
            if not has_folders(self._files):
                raise
            for path in uploads:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe(dict(uploads))

    def _expires_at(self, path: str) -> float | None:
        """Minus infinity for a missing blob, None where the file system does not tell the time."""
        try:
            modified: datetime = self._files.modified(path)
        except FileNotFoundError:
            return -math.inf
        except NotImplementedError:
            return None if self._files.exists(path) else -math.inf
        return modified.replace(tzinfo=modified.tzinfo or UTC).timestamp() + self._ttl

    def _read(self, digests: Sequence[str]) -> Mapping[str, bytes | BlobError]:
        found: dict[str, bytes | BlobError] = {}
        with _translated():
            if EMPTY in digests and self._files.exists(self._path(EMPTY)):
                found[EMPTY] = b""
            filled = [digest for digest in digests if digest != EMPTY]
            paths = [self._path(digest) for digest in filled]
            replies = self._files.cat_ranges(paths, 0, self._max_bytes + 1, on_error="return")
            for digest, reply in zip(filled, replies, strict=True):
                if isinstance(reply, bytes):
                    found[digest] = reply
                elif not isinstance(reply, FileNotFoundError):
                    raise reply
        return found

    def sweep(self, limit: int = 1_000) -> int:
        """As everywhere; a bucket's own lifecycle rule does the same for less, and costs no request."""
        deleted = 0
        with _translated():
            for path in islice(self._paths(), limit):
                expires_at = self._expires_at(path)
                if expires_at is not None and -math.inf < expires_at <= self._now():
                    self._files.rm_file(path)
                    deleted += 1
        return deleted

    def _paths(self) -> Iterator[str]:
        """The blobs, beginning at a shard of chance so that sweeps with a small limit come around."""
        start = secrets.token_hex(1)
        outers = sorted(self._names(self._root))
        for outer in sorted(outers, key=lambda name: name < start):
            for inner in self._names(f"{self._root}/{outer}"):
                for name in self._names(f"{self._root}/{outer}/{inner}"):
                    yield f"{self._root}/{outer}/{inner}/{name}"

    def _names(self, folder: str) -> list[str]:
        try:
            entries: list[str] = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return [entry.rstrip("/").rpartition("/")[2] for entry in entries]

    def close(self) -> None:
        """Connections belong to fsspec, which shares them between stores."""
