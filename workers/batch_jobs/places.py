"""Where batch jobs read and write: files under allowed roots, which are folders or URLs of object stores.

Nothing else can be reached: no other scheme, no `..`, no chain of file systems, no link that leads out.
"""

from collections.abc import Iterator, Sequence
from os import fsdecode, fsencode
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from paddlewheel.errors import AddressRefused, ConfigurationError
from workers.batch_jobs.local_files import LocalFile
from workers.batch_jobs.stored_objects import StoredObject, open_file_system

LOCAL: Final = frozenset({"file", "local"})
WEB: Final = frozenset({"http", "https"})


class BatchFile(Protocol):
    """One file, wherever it is. They raise AddressNotFound, AddressRefused and PlaceUnavailable."""

    def read(self, most: int) -> bytes:
        """All of it, or its first `most` bytes and one more."""

    def read_range(self, begin: int, end: int) -> bytes:
        """These bytes."""

    def chunks(self, size: int) -> Iterator[bytes]:
        """All of it, in pieces."""

    def exists(self) -> bool:
        """Whether there is something."""

    def beside(self, suffix: str) -> "BatchFile":
        """The place whose address is this one with more at its end."""

    def write(self, data: bytes) -> None:
        """All at once or not at all; folders are made."""

    def publish(self, source: Path, *, replace: bool) -> bool:
        """Let a local file appear here, whole; False where there is one already and `replace` is not set."""

    def scratch(self) -> Path | None:
        """A folder from which publishing costs nothing, if there is one."""

    def remove(self) -> None:
        """It, or all that is below it; nothing where there is nothing."""


class AllowedRoots:
    """The roots, as configured. Raises ConfigurationError for one that is neither a folder nor a URL."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._folders = [_folder(root) for root in roots if "://" not in root]
        self._stores = {root.rstrip("/") + "/": open_file_system(root) for root in roots if "://" in root}

    def place(self, address: str, base: BatchFile | None = None) -> BatchFile:
        """The place of an address: a path, one relative to the folder of `base`, or a URL.

        Raises AddressRefused for one that is under no root.
        """
        if "\x00" in address:
            raise AddressRefused("An address holds no NUL bytes.")
        scheme, separator, _ = address.partition("://")
        if separator and scheme.lower() not in LOCAL:
            return self._stored(address)
        path = _path_of(address) if separator else Path(address)
        if not path.is_absolute():
            if not isinstance(base, LocalFile):
                raise AddressRefused("A relative path needs a manifest in a folder: write the whole address.")
            path = base.path.parent / path
        return self._local(path)

    def _local(self, path: Path) -> LocalFile:
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as err:
            raise AddressRefused("The path cannot be followed to a file.") from err
        if not any(real.is_relative_to(folder) for folder in self._folders):
            raise AddressRefused("The path is under none of the folders that batch jobs may use.")
        return LocalFile(real)

    def _stored(self, address: str) -> StoredObject:
        if "::" in address or {"..", "."} & set(address.partition("://")[2].split("/")):
            raise AddressRefused("The address holds '..' or '::': write the object's own address.")
        for root, (file_system, _) in self._stores.items():
            if address.startswith(root) and len(address) > len(root):
                return StoredObject(file_system, str(file_system._strip_protocol(address)))
        raise AddressRefused("The address is under none of the stores that batch jobs may use.")


def _folder(root: str) -> Path:
    path = Path(root)
    if not path.is_absolute():
        raise ConfigurationError(f"A root of batch jobs is a whole path or a URL, which {root!r} is not.")
    return path.resolve()


def _path_of(url: str) -> Path:
    try:
        parts = urlsplit(url)
    except ValueError as err:
        raise AddressRefused("The address is no URL.") from err
    if parts.netloc not in ("", "localhost"):
        raise AddressRefused("A file's URL names no host: write file:///folder/name.")
    # Bytes that are no UTF-8 came with surrogates, and leave so.
    raw = unquote_to_bytes(fsencode(url.partition("://")[2].removeprefix(parts.netloc)))
    if b"\x00" in raw:
        raise AddressRefused("An address holds no NUL bytes.")
    return Path(fsdecode(raw))
