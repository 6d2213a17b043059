"""PaddleX's folder in an object store: written and read through a temporary local folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from index_store.exchange import INDEX_FILE, INFO_FILES
from paddlewheel.blobs.refusals import explained, has_folders, refusal_of
from paddlewheel.errors import ConfigurationError, GalleryFolderInvalid, SegmentStoreUnavailable


@contextmanager
def folder_to_write(place: Path | str) -> Iterator[Path]:
    """The path of a local folder to make: `place` itself, or one that is uploaded to it at the end.

    The index is uploaded first and the id map last: without an id map a folder is no gallery, and the next
    upload overwrites what an interrupted one has left. Raises GalleryFolderInvalid where there is a gallery
    already, SegmentStoreUnavailable, and ConfigurationError for a URL of an unknown kind.
    """
    with _on_disk(place):
        files, root = _open_place(place)
        if isinstance(files, LocalFileSystem):
            yield Path(root)
            return
        with _in_store(place):
            taken = any(files.exists(f"{root}/{name}") for name in INFO_FILES)
        if taken:
            raise GalleryFolderInvalid(f"{place} exists already: export to a new folder.")
        with tempfile.TemporaryDirectory(prefix="paddlewheel-") as scratch:
            folder = Path(scratch) / "gallery"
            yield folder
            with _in_store(place):
                if has_folders(files):
                    files.makedirs(root, exist_ok=True)
                for name in (INDEX_FILE, INFO_FILES[0]):
                    files.put_file(str(folder / name), f"{root}/{name}")


@contextmanager
def folder_to_read(place: Path | str) -> Iterator[Path]:
    """A local folder with what is at the place. Raises as `folder_to_write` does."""
    with _on_disk(place):
        files, root = _open_place(place)
        if isinstance(files, LocalFileSystem):
            yield Path(root)
            return
        with tempfile.TemporaryDirectory(prefix="paddlewheel-") as scratch:
            with _in_store(place):
                for name in (INDEX_FILE, *INFO_FILES):
                    if files.exists(f"{root}/{name}"):
                        files.get_file(f"{root}/{name}", str(Path(scratch) / name))
            yield Path(scratch)


def _open_place(place: Path | str) -> tuple[Any, str]:
    """The file system and the path in it; on the local one a folder appears in one step, by a rename."""
    if isinstance(place, Path) or "://" not in place:
        return LocalFileSystem(), str(place)
    try:
        # A repeated task has to see what another worker wrote meanwhile.
        files, root = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except (ImportError, ValueError, TypeError) as err:
        raise ConfigurationError(f"{place} cannot be used as a place of galleries: {err}.") from err
    return files, root


@contextmanager
def _on_disk(place: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise SegmentStoreUnavailable(f"{place} cannot be used: {err}.") from err


@contextmanager
def _in_store(place: Path | str) -> Iterator[None]:
    """Raise one error: the libraries of stores have no common base class but Exception."""
    try:
        yield
    except Exception as err:
        words = f"{err}." if refusal_of(err) == "away" and isinstance(err, OSError) else explained(err)
        raise SegmentStoreUnavailable(f"{place} cannot be used: {words}") from err
