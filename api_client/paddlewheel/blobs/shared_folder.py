"""Blobs in a shared folder: `ab/cd/<digest>`, whose modification time is the moment when it expires.

Every step into the folder is relative to an open directory and follows no link, so nothing planted inside
leads out of it. A reader sees a whole blob or none: files are written under a temporary name, synced and
renamed.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from paddlewheel.blobs.content import ContentStore
from paddlewheel.errors import BlobCorrupt, BlobError, BlobStoreUnavailable, ConfigurationError

FILE_MODE = 0o640
FOLDER_MODE = 0o750
ABANDONED_SECONDS = 3600.0
"""A temporary file of that age belongs to a writer that died."""
LINK_ERRORS = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
SHARD = re.compile(r"[0-9a-f]{2}")
DIGEST = re.compile(r"[0-9a-f]{64}")
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def folder_of(url: str) -> Path:
    """The folder of a `file:///folder` URL. Raises ConfigurationError."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute() or parts.query or parts.fragment:
        raise ConfigurationError("A shared folder's URL has three slashes and a whole path: file:///folder.")
    return path


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise _unavailable(err) from err


class FileBlobStore(ContentStore):
    """Blobs as files below `folder`, for machines that share a volume."""

    def __init__(
        self, folder: Path, *, ttl: float, max_bytes: int, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(ttl=ttl, max_bytes=max_bytes, now=now)
        with _translated():
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._swept = secrets.token_hex(2)  # sweepers that start together begin at different shards

    def _write(self, blobs: Mapping[str, bytes]) -> Mapping[str, float | None]:
        expires_at = self._now() + self._ttl
        with _translated():
            for digest, data in blobs.items():
                with self._shard(digest, create=True) as shard:
                    if not _renewed(shard, digest, len(data), expires_at, self._now()):
                        _write_file(shard, digest, data, expires_at)
        return dict.fromkeys(blobs, expires_at)

    def _read(self, digests: Sequence[str]) -> Mapping[str, bytes | BlobError]:
        found: dict[str, bytes | BlobError] = {}
        for digest in digests:
            content = self._content(digest)
            if content is not None:
                found[digest] = content
        return found

    def _content(self, digest: str) -> bytes | BlobError | None:
        try:
            with self._shard(digest) as shard, _opened(digest, READ_FLAGS, shard) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    return _not_a_file(digest)
                if found.st_mtime <= self._now():
                    return None
                return _read_at_most(file, self._max_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as err:
            if err.errno in LINK_ERRORS:
                return _not_a_file(digest)
            raise _unavailable(err) from err

    def sweep(self, limit: int = 1_000) -> int:
        looked_at = deleted = 0
        with _translated():
            for prefix in self._shards():
                self._swept = prefix
                if looked_at >= limit:
                    break
                with self._shard(prefix) as shard, os.scandir(shard) as entries:
                    names = [entry.name for entry in entries]
                    deleted += sum(_swept(shard, name, self._now()) for name in names)
                looked_at += 1 + len(names)
        return deleted

    def _shards(self) -> Iterator[str]:
        """The shards that exist, once around from where the last sweep ended."""
        before: list[str] = []
        for outer in _folders(self._folder):
            for inner in _folders(self._folder / outer):
                if outer + inner >= self._swept:
                    yield outer + inner
                else:
                    before.append(outer + inner)
        yield from before

    @contextmanager
    def _shard(self, digest: str, *, create: bool = False) -> Iterator[int]:
        """The open folder `ab/cd` of a digest `abcd...`."""
        with (
            _opened(self._folder, FOLDER_FLAGS) as root,
            _opened_folder(digest[:2], root, create=create) as outer,
            _opened_folder(digest[2:4], outer, create=create) as inner,
        ):
            yield inner

    def close(self) -> None:
        """Nothing is held open between calls."""


def _unavailable(err: OSError) -> BlobStoreUnavailable:
    return BlobStoreUnavailable(f"The blob store's folder cannot be used: {err.strerror or err}.")


def _not_a_file(digest: str) -> BlobCorrupt:
    return BlobCorrupt(f"The entry sha256:{digest} is not a plain file: put the image again.")


@contextmanager
def _opened(name: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    file = os.open(name, flags, FILE_MODE, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _opened_folder(name: str, parent: int, *, create: bool) -> Iterator[int]:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=parent)
            os.fsync(parent)
    with _opened(name, FOLDER_FLAGS, parent) as folder:
        yield folder


def _folders(parent: Path) -> list[str]:
    with os.scandir(parent) as entries:
        return sorted(e.name for e in entries if SHARD.fullmatch(e.name) and e.is_dir(follow_symlinks=False))


def _read_at_most(file: int, size: int) -> bytes:
    with open(file, "rb", closefd=False) as stream:
        return stream.read(size)


def _renewed(shard: int, digest: str, size: int, expires_at: float, now: float) -> bool:
    """Prolong a blob that is there. An expired one counts as missing: a sweep may be about to delete it."""
    try:
        found = os.stat(digest, dir_fd=shard, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size or found.st_mtime <= now:
            return False
        if found.st_mtime < expires_at:
            os.utime(digest, (expires_at, expires_at), dir_fd=shard, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write_file(shard: int, digest: str, data: bytes, expires_at: float) -> None:
    temporary = _temporary(digest)
    try:
        with _opened(temporary, WRITE_FLAGS, shard) as file:
            with open(file, "wb", closefd=False) as stream:
                stream.write(data)
            os.fchmod(file, FILE_MODE)
            os.utime(file, (expires_at, expires_at))
            os.fsync(file)
        os.rename(temporary, digest, src_dir_fd=shard, dst_dir_fd=shard)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=shard)
        raise
    os.fsync(shard)


def _temporary(digest: str) -> str:
    return f".{digest}.{secrets.token_hex(8)}"


def _swept(shard: int, name: str, now: float) -> bool:
    """Delete one expired blob; a temporary file only when its writer is long gone."""
    try:
        found = os.stat(name, dir_fd=shard, follow_symlinks=False)
        if not DIGEST.fullmatch(name):
            if found.st_mtime + ABANDONED_SECONDS < now:
                os.unlink(name, dir_fd=shard)
            return False
        return found.st_mtime <= now and _deleted(shard, name, now)
    except FileNotFoundError:
        return False


def _deleted(shard: int, digest: str, now: float) -> bool:
    """Move the file aside before the last look at it, so that a put at the same moment is never lost."""
    aside = _temporary(digest)
    os.rename(digest, aside, src_dir_fd=shard, dst_dir_fd=shard)
    renewed = os.stat(aside, dir_fd=shard, follow_symlinks=False).st_mtime > now
    if renewed:
        with contextlib.suppress(FileExistsError):
            os.link(aside, digest, src_dir_fd=shard, dst_dir_fd=shard, follow_symlinks=False)
    os.unlink(aside, dir_fd=shard)
    return not renewed
