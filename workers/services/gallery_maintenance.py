"""A worker's galleries: opened over its database, migrated, and kept in order in the background."""

import logging
import threading
from pathlib import Path

from database.migration import migrate
from index_store import open_store
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance, repeat
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_objects import SegmentObjects
from paddlewheel.errors import DatabaseUnavailable

MAINTENANCE_SECONDS = 10.0
"""Between two rounds."""

MIGRATION_SECONDS = 2.0
"""Between two tries to reach a database whose tables could not be brought up to date."""

REFUSAL_SECONDS = 60.0
"""Between two tries where the database is there and refuses, as under tables of a newer version."""

CLOSING_SECONDS = 5.0

log = logging.getLogger(__name__)


class GalleryMaintainer:
    """Opens the store. A database that is away does not keep the worker from starting; it is waited for.

    With `maintain` it seals, compacts, purges and collects. Without, it does only what no other machine can:
    local copies of files go when the files are gone, also from a worker that does nothing but search.
    """

    def __init__(
        self, url: str, segments: str, copies: Path, *, policy: SealingPolicy, maintain: bool
    ) -> None:
        """`segments` is a folder or an fsspec URL, whose files are copied to `copies`."""
        self._url = url
        self.store = open_store(url, segments, copies)
        self._database = self.store.database
        self._files = self.store.files
        self._policy = policy
        self._maintain = maintain
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="galleries", daemon=True)

    def start(self) -> None:
        """Bring the tables up to date, now or when the database can be reached; then maintain.

        Raises ConfigurationError where the database is there and refuses.
        """
        migrated = self._migrated()
        if not migrated or self._maintain or isinstance(self._files, SegmentObjects):
            self._thread.start()

    def close(self) -> None:
        """End the background work. A long step is left behind: a sealer may die at any of them."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSING_SECONDS)
        self._database.close()

    def _run(self) -> None:
        self._wait_for_tables()
        if self._maintain:
            self._maintenance().run(self._stop, MAINTENANCE_SECONDS)
        elif isinstance(self._files, SegmentObjects):
            repeat(self._swept, self._stop, MAINTENANCE_SECONDS)

    def _swept(self) -> bool:
        self._collector().sweep()
        return False

    def _wait_for_tables(self) -> None:
        while not self._stop.is_set():
            try:
                if self._migrated():
                    return
                self._stop.wait(MIGRATION_SECONDS)
            except Exception:  # nobody else would try again
                log.exception("the tables of the galleries could not be brought up to date")
                self._stop.wait(REFUSAL_SECONDS)

    def _migrated(self) -> bool:
        try:
            migrate(self._url)
        except DatabaseUnavailable as err:
            log.warning("the tables of the galleries could not be brought up to date: %s", err.message)
            return False
        return True

    def _maintenance(self) -> Maintenance:
        return Maintenance(
            store=self.store,
            sealer=Sealer(database=self._database, files=self._files, policy=self._policy),
            collector=self._collector(),
        )

    def _collector(self) -> GarbageCollector:
        return GarbageCollector(database=self._database, files=self._files, policy=self._policy)
