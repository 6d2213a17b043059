"""An object that batch jobs read or write, in whatever store fsspec knows: `s3://`, `oss://`, `gcs://`...

Credentials and end points are fsspec's business: its configuration files and FSSPEC_... variables.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from paddlewheel.blobs.refusals import Refusal, explained, has_folders, refusal_of
from paddlewheel.errors import (
    AddressNotFound,
    AddressRefused,
    ConfigurationError,
    PaddlewheelError,
    PlaceUnavailable,
)

_ERRORS: Final[dict[Refusal, type[PaddlewheelError]]] = {
    "no_object": AddressNotFound,
    "no_bucket": AddressNotFound,
    "no_access": AddressRefused,
    # The operator's to mend, and no line's fault.
    "no_credentials": PlaceUnavailable,
    "away": PlaceUnavailable,
}


def open_file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the URL's path in it. Raises ConfigurationError."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        file_system, path = url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError, TypeError) as err:
        raise ConfigurationError(f"Batch jobs cannot use the root {url}: {err}.") from err
    return file_system, path


class StoredObject:
    """An object by its path in its file system."""

    def __init__(self, file_system: Any, path: str) -> None:
        self._files = file_system
        self._path = path

    def read(self, most: int) -> bytes:
        """All of it, or its first `most` bytes and one more."""
        return self.read_range(0, most + 1)

    def read_range(self, begin: int, end: int) -> bytes:
        """These bytes."""
        with _convert_errors():
            try:
                data: bytes = self._files.cat_file(self._path, start=begin, end=end)
            except (FileNotFoundError, PermissionError):
                raise
            except OSError:
                # Stores refuse to read a range of an empty object.
                if self._files.info(self._path)["size"]:
                    raise
                data = b""
            return data

    def chunks(self, size: int) -> Iterator[bytes]:
        """All of it, in pieces."""
        with (
            _convert_errors(),
            self._files.open(self._path, "rb", block_size=size, cache_type="readahead") as file,
        ):
            while chunk := file.read(size):
                yield chunk

    def exists(self) -> bool:
        """Whether there is something."""
        with _convert_errors():
            return bool(self._files.exists(self._path))

    def beside(self, suffix: str) -> "StoredObject":
        """The place whose address is this one with more at its end."""
        return StoredObject(self._files, self._path + suffix)

    def write(self, data: bytes) -> None:
        """In one upload."""
        with _convert_errors():
            try:
                self._files.pipe_file(self._path, data)
            except FileNotFoundError:
                if not has_folders(self._files):
                    raise
                self._files.makedirs(self._path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(self._path, data)

    def publish(self, source: Path, *, replace: bool) -> bool:
        """Upload a local file; stores show an object when its upload has ended, and not before."""
        with _convert_errors():
            if not replace and self._files.exists(self._path):
                return False
            self._files.put_file(str(source), self._path)
        return True

    def scratch(self) -> Path | None:
        """None: it is uploaded from anywhere."""
        return None

    def remove(self) -> None:
        """It, or all that is below it; nothing where there is nothing."""
        with _convert_errors(), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path, recursive=True)


@contextmanager
def _convert_errors() -> Iterator[None]:
    """A file system raises errors of its own libraries, which share no base class but Exception."""
    try:
        yield
    except PaddlewheelError:
        raise
    except IsADirectoryError as err:
        raise AddressRefused("The address is that of a folder.") from err
    except Exception as err:
        raise _ERRORS[refusal_of(err)](explained(err)) from err
