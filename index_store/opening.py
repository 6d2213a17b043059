"""A gallery store at an address, with its segment files in a folder or an object store."""

from pathlib import Path

from database.pool import Database
from index_store.segment_folder import SegmentFiles, SegmentFolder
from index_store.segment_objects import SegmentObjects
from index_store.store import GalleryStore
from paddlewheel.errors import ConfigurationError


def open_store(
    database: Database | str, segments: Path | str, copies: Path | None = None, *, threads: int = 1
) -> GalleryStore:
    """The galleries of a database. `store.database.close()` closes what an address opened.

    `segments` is the folder of the segment files, or an fsspec URL, whose files are copied to the local
    folder `copies`. `threads` are FAISS's for one search. Raises ConfigurationError.
    """
    files = open_segments(segments, copies)
    return GalleryStore(Database(database) if isinstance(database, str) else database, files, threads=threads)


def open_segments(segments: Path | str, copies: Path | None) -> SegmentFiles:
    """The place of segment files. Raises ConfigurationError."""
    if not str(segments):
        raise ConfigurationError("The segment files of galleries need a place: a folder or a URL.")
    if "://" not in str(segments):
        return SegmentFolder(Path(segments))
    if copies is None:
        raise ConfigurationError("Segment files at a URL need a local folder for their copies.")
    try:
        return SegmentObjects(str(segments), copies)
    except (ValueError, ImportError) as err:  # fsspec's, for a protocol that it does not speak
        raise ConfigurationError(f"The segments cannot be at {segments}: {err}.") from err
