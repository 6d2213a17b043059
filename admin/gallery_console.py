"""What the commands of `admin.galleries` share: the store they open, and errors told as one sentence."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from database.pool import Database
from index_store.gallery_rows import GalleryRows
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer, Step
from index_store.segment_folder import SegmentFiles, SegmentFolder
from index_store.segment_objects import SegmentObjects
from index_store.store import GalleryStore
from paddlewheel.errors import CallerError, PaddlewheelError
from paddlewheel.wire.addresses import local_checkout, local_connection

P = ParamSpec("P")
T = TypeVar("T")

LOCAL_SEGMENTS = Path(".paddlewheel") / "segments"
"""In a checkout, where its workers have the files."""


class StoreOptions:
    """How a command opens its store, as the options of the group say."""

    def __init__(
        self, url: str | None, segments: str | None, copies: Path | None, policy: SealingPolicy
    ) -> None:
        self._url = url
        self._segments = segments
        self._copies = copies
        self.policy = policy

    @property
    def url(self) -> str:
        """The database; asked for by commands, and not by their --help."""
        url = self._url or local_connection(Path.cwd()).get("database_url")
        if not url:
            raise click.UsageError(
                "No database: give --database-url, set PADDLEWHEEL_DATABASE_URL or 'make up' in a checkout."
            )
        return url

    @property
    def segments(self) -> str:
        """The place of the files: what was given, or that of the checkout whose database this is."""
        if self._segments:
            return self._segments
        checkout = local_checkout(Path.cwd())
        if checkout is None or local_connection(checkout).get("database_url") != self.url:
            raise click.UsageError(
                "Where are the segment files of this database? Give --segments or set "
                "PADDLEWHEEL_SEGMENT_URL to the folder or URL that its workers have."
            )
        return str(checkout / LOCAL_SEGMENTS)

    @contextmanager
    def store(self) -> Iterator[GalleryStore]:
        """A store over the database and the files that the options name."""
        url, files = self.url, self._files()
        with _closing(Database(url)) as database:
            yield GalleryStore(database, files)

    @contextmanager
    def rows(self) -> Iterator[GalleryRows]:
        """A store for what Postgres does alone: the place of the files need not be known."""
        with _closing(Database(self.url)) as database:
            yield GalleryRows(database)

    def sealer(self, store: GalleryStore, on_step: Callable[[Step], None]) -> Sealer:
        """A sealer with the policy of the options."""
        return Sealer(database=store.database, files=store.files, policy=self.policy, on_step=on_step)

    def collector(self, store: GalleryStore) -> GarbageCollector:
        """A collector with the policy of the options."""
        return GarbageCollector(database=store.database, files=store.files, policy=self.policy)

    def _files(self) -> SegmentFiles:
        protocol, _, path = self.segments.rpartition("://")
        if protocol in ("", "file", "local"):
            _require_folder(Path(path))
        if not protocol:
            return SegmentFolder(Path(path))
        if self._copies is None:
            raise click.UsageError("Segments at a URL need --copies, a local folder.")
        try:
            return SegmentObjects(self.segments, self._copies)
        except (ValueError, ImportError) as err:  # fsspec's, for a protocol that it cannot speak
            raise click.UsageError(f"The segments cannot be at {self.segments}: {err}.") from err


def _require_folder(folder: Path) -> None:
    """A folder that is made because its name was mistyped would look like one that has lost every file."""
    if not folder.is_dir():
        raise click.UsageError(
            f"There is no folder {folder}: give the one that the workers have their segment files in, by "
            "--segments or PADDLEWHEEL_SEGMENT_URL. Where it was lost, or there was none yet, make it with "
            f"'mkdir -p -m 700 {shlex.quote(str(folder))}'; the files are written anew from the database."
        )


@contextmanager
def _closing(database: Database) -> Iterator[Database]:
    try:
        yield database
    finally:
        database.close()


class _Failure(click.ClickException):
    def __init__(self, error: PaddlewheelError) -> None:
        super().__init__(f"{error.message} [{error.code}]")
        self.exit_code = 1 if isinstance(error, CallerError) else 2  # type: ignore[misc]


def told(command: Callable[P, T]) -> Callable[P, T]:
    """Errors as one sentence: exit code 1 where the caller can act, 2 where the operator can."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except PaddlewheelError as err:
            raise _Failure(err) from err

    return wrapped
