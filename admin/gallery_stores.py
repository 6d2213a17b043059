"""The gallery store of a maintenance command: its rows in the database, its files where options say."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from admin.console import require_database
from database.pool import Database
from index_store import open_store
from index_store.gallery_rows import GalleryRows
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer, Step
from index_store.store import GalleryStore
from paddlewheel.errors import ConfigurationError
from paddlewheel.wire.addresses import local_checkout, local_connection

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
        """The database. Raises ConfigurationError where none is known."""
        return require_database(self._url)

    @property
    def segments(self) -> str:
        """The place of the files: as given, or that of the checkout whose database this is."""
        if self._segments:
            return self._segments
        checkout = local_checkout(Path.cwd())
        if checkout is None or local_connection(checkout).get("database_url") != self.url:
            raise ConfigurationError(
                "The place of this database's segment files is not known: give --segments or set "
                "PADDLEWHEEL_SEGMENT_URL to the folder or URL that its workers use."
            )
        return str(checkout / LOCAL_SEGMENTS)

    @contextmanager
    def store(self) -> Iterator[GalleryStore]:
        """A store over the database and the files that the options name."""
        url, segments = self.url, self.segments
        protocol, _, path = segments.rpartition("://")
        if protocol in ("", "file", "local"):
            _require_folder(Path(path))
        if protocol and self._copies is None:
            raise ConfigurationError("Segments at a URL need --copies, a local folder.")
        store = open_store(url, segments, self._copies)
        with _closing(store.database):
            yield store

    @contextmanager
    def rows(self) -> Iterator[GalleryRows]:
        """A store for commands that need Postgres only: the place of the files need not be known."""
        with _closing(Database(self.url)) as database:
            yield GalleryRows(database)

    def sealer(self, store: GalleryStore, on_step: Callable[[Step], None]) -> Sealer:
        """A sealer with the policy of the options."""
        return Sealer(database=store.database, files=store.files, policy=self.policy, on_step=on_step)

    def collector(self, store: GalleryStore) -> GarbageCollector:
        """A collector with the policy of the options."""
        return GarbageCollector(database=store.database, files=store.files, policy=self.policy)


def _require_folder(folder: Path) -> None:
    """Refuse a missing folder: made under a mistyped name it would look like one that lost every file."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder {folder}: give the one in which the workers keep their segment files, by "
            "--segments or PADDLEWHEEL_SEGMENT_URL. If it was lost, or never existed, make it with "
            f"'mkdir -p -m 700 {shlex.quote(str(folder))}'; the files are written again from the database."
        )


@contextmanager
def _closing(database: Database) -> Iterator[Database]:
    try:
        yield database
    finally:
        database.close()
