"""PaddleX's folder in an object store: written and read through a local folder that goes again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec  # type: ignore[import-untyped]

from api_client.errors import GalleryFolderInvalid, SegmentStoreUnavailable
from index_store.exchange import INDEX_FILE, INFO_FILES


@contextmanager
def folder_to_write(place: Path | str) -> Iterator[Path]:
    """A local folder that is not there yet, and is `place` itself or uploaded to it at the end.

    The index goes first and the id map last: without an id map a folder is no gallery. Raises
    GalleryFolderInvalid where something is at the place already.
    """
    if not _is_url(place):
        yield Path(place)
        return
    with _translated(place), tempfile.TemporaryDirectory(prefix="paddlewheel-") as local:
        files, root = fsspec.core.url_to_fs(str(place))
        if files.exists(root):
            raise GalleryFolderInvalid(f"{place} exists already: export to a new folder.")
        yield Path(local) / "gallery"
        files.makedirs(root, exist_ok=True)
        for name in (INDEX_FILE, INFO_FILES[0]):
            files.put_file(str(Path(local) / "gallery" / name), f"{root}/{name}")


@contextmanager
def folder_to_read(place: Path | str) -> Iterator[Path]:
    """A local folder with what is at the place."""
    if not _is_url(place):
        yield Path(place)
        return
    with _translated(place), tempfile.TemporaryDirectory(prefix="paddlewheel-") as local:
        files, root = fsspec.core.url_to_fs(str(place))
        for name in (INDEX_FILE, *INFO_FILES):
            if files.exists(f"{root}/{name}"):
                files.get_file(f"{root}/{name}", str(Path(local) / name))
        yield Path(local)


def _is_url(place: Path | str) -> bool:
    return "://" in str(place) and not isinstance(place, Path)


@contextmanager
def _translated(place: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise SegmentStoreUnavailable(f"{place} cannot be used: {err}.") from err
