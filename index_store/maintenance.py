"""The background round: seal, compact, purge and collect, for every gallery, again and again."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from api_client.errors import GalleryNotFound, PaddlewheelError
from index_store.gallery import Gallery
from index_store.garbage import Collected, GarbageCollector
from index_store.sealing import Sealed, Sealer
from index_store.store import GalleryStore

_LOGGER = logging.getLogger(__name__)
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """Run it on every machine that has galleries open: a lock per gallery keeps them from the same work."""

    store: GalleryStore
    sealer: Sealer
    collector: GarbageCollector

    def run_once(self) -> tuple[tuple[Sealed, ...], Collected]:
        """One round. A gallery that fails is logged and does not keep the others waiting."""
        sealed: list[Sealed] = []
        for gallery in self._galleries():
            try:
                sealed += self.sealer.run(gallery.key) or ()
            except GalleryNotFound:
                continue  # deleted since it was listed
            except PaddlewheelError as err:
                _LOGGER.error("gallery %s could not be sealed: %s", gallery.key, err)
        return tuple(sealed), self.collector.run()

    def run(self, stop: threading.Event, interval: float) -> None:
        """Rounds, `interval` seconds apart, until `stop` is set; an unreachable database is waited for."""
        while not stop.is_set():
            try:
                self.run_once()
            except PaddlewheelError as err:
                _LOGGER.error("maintenance of galleries failed: %s", err)
            stop.wait(interval)

    def _galleries(self) -> Iterator[Gallery]:
        after = ""
        while page := self.store.list_galleries(after=after, limit=_PAGE):
            yield from page
            after = page[-1].key
