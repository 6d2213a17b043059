"""A local file that batch jobs read or write. Every write appears whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from paddlewheel.errors import AddressNotFound, AddressRefused, PlaceUnavailable

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""Errors of file systems without hard links, such as a mounted bucket."""

_NO_FILES: Final = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EINVAL})
"""Errors for an impossible name, for a link made since the path was resolved, and for a socket."""


class LocalFile:
    """A file by its real path: links have been followed before."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, most: int) -> bytes:
        """All of it, or its first `most` bytes and one more."""
        with self._open() as file:
            return file.read(most + 1)

    def read_range(self, begin: int, end: int) -> bytes:
        """These bytes."""
        with self._open() as file:
            file.seek(begin)
            return file.read(end - begin)

    def chunks(self, size: int) -> Iterator[bytes]:
        """All of it, in pieces."""
        with self._open() as file:
            while chunk := file.read(size):
                yield chunk

    def exists(self) -> bool:
        """Whether there is something."""
        return self.path.exists()

    def beside(self, suffix: str) -> "LocalFile":
        """The place whose address is this one with more at its end."""
        return LocalFile(Path(f"{self.path}{suffix}"))

    def write(self, data: bytes) -> None:
        """All at once or not at all; folders are made."""
        with _convert_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)

    def publish(self, source: Path, *, replace: bool) -> bool:
        """Let a file of the same folder appear here; False where there is one that is not to be replaced."""
        with _convert_errors():
            if replace:
                source.replace(self.path)
            else:
                try:
                    # Unlike a rename, a link never takes another file's place.
                    self.path.hardlink_to(source)
                except FileExistsError:
                    return False
                except OSError as err:
                    if err.errno not in _NO_LINKS:
                        raise
                    if self.path.exists():
                        return False
                    source.replace(self.path)
            _sync(self.path.parent)
        return True

    def scratch(self) -> Path | None:
        """The file's own folder."""
        with _convert_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.parent

    def remove(self) -> None:
        """It, or all that is below it; nothing where there is nothing."""
        with _convert_errors(), contextlib.suppress(FileNotFoundError):
            if self.path.is_dir():
                shutil.rmtree(self.path)
            else:
                self.path.unlink()

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        with _convert_errors():
            # A pipe must not block until its other end opens, and a link made since must not be followed.
            number = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(number, "rb") as file:
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise AddressRefused("The path is not that of a file.")
                yield file


@contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as err:
        raise AddressNotFound("There is no file of that path.") from err
    except (PermissionError, IsADirectoryError) as err:
        raise AddressRefused("The path cannot be read or written by this worker.") from err
    except OSError as err:
        if err.errno in _NO_FILES:
            raise AddressRefused("The path is not that of a file.") from err
        raise PlaceUnavailable(f"A file cannot be read or written: {err.strerror or err}.") from err


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
