"""Rounds of background maintenance: seal, compact, purge and collect, for every gallery."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from index_store.gallery import Gallery
from index_store.garbage import CollectedFiles, GarbageCollector
from index_store.sealing import Sealed, Sealer
from index_store.store import GalleryStore
from paddlewheel.errors import GalleryNotFound, PaddlewheelError

_LOGGER = logging.getLogger(__name__)
_PAGE = 1000
_REWRITES = 4  # of one gallery in one round, so that a busy one does not delay the others


@dataclass(frozen=True, kw_only=True)
class MaintenanceReport:
    """What one round did, and a sentence for each gallery and each file that failed.

    `unfinished` says that some gallery may have more to do at once.
    """

    sealed: tuple[Sealed, ...]
    collected: CollectedFiles
    failures: tuple[str, ...]
    unfinished: bool


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """Run it on every machine that has galleries open: a lock per gallery keeps them from the same work."""

    store: GalleryStore
    sealer: Sealer
    collector: GarbageCollector

    def run_once(self) -> MaintenanceReport:
        """One round. A gallery that fails for any reason is logged and does not stop the others."""
        sealed: list[Sealed] = []
        failures: list[str] = []
        unfinished = False
        for gallery in self._galleries():
            try:
                done = self.sealer.run(gallery.key, at_most=_REWRITES) or ()
            except GalleryNotFound:
                continue  # deleted since it was listed
            except Exception as err:  # the others are maintained in any case
                failures.append(_log_failure(f"The gallery {gallery.key!r} could not be sealed", err))
                continue
            sealed += done
            unfinished = unfinished or len(done) == _REWRITES
        collected = self.collector.run()
        for failure in collected.failures:
            _LOGGER.error("%s", failure)
        return MaintenanceReport(
            sealed=tuple(sealed),
            collected=collected,
            failures=(*failures, *collected.failures),
            unfinished=unfinished,
        )

    def run(self, stop: threading.Event, interval: float) -> None:
        """Rounds, `interval` seconds apart while there is nothing left to do, until `stop` is set."""
        repeat(lambda: self.run_once().unfinished, stop, interval)

    def _galleries(self) -> Iterator[Gallery]:
        after = ""
        while page := self.store.list_galleries(after=after, limit=_PAGE):
            yield from page
            after = page[-1].key


def repeat(work: Callable[[], bool], stop: threading.Event, interval: float) -> None:
    """Work until `stop` is set, and pause for `interval` seconds unless the work says that there is more.

    Any failure is logged and the work tried again after the pause, as when the database is away.
    """
    while not stop.is_set():
        unfinished = False
        try:
            unfinished = work()
        except Exception as err:  # nothing else would start the work again
            _log_failure("A round of maintenance failed", err)
        if not unfinished:
            stop.wait(interval)


def _log_failure(what: str, err: Exception) -> str:
    """Log the error, with its traceback where it is not one of ours; returns the sentence."""
    expected = isinstance(err, PaddlewheelError)
    failure = f"{what}: {err.message if isinstance(err, PaddlewheelError) else repr(err)}"
    _LOGGER.error("%s", failure, exc_info=None if expected else err)
    return failure
