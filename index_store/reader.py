"""What a process holds of its galleries, kept current by one cheap query for every search."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from database.pool import Database
from index_store.gallery import Gallery, Ids, Segment
from index_store.gallery_lookup import FIND_GALLERY, find_gallery, gallery_from, possible_key
from index_store.rows import StoredRows, copy_out
from index_store.segment_file import SegmentFile
from index_store.segment_folder import SegmentFiles
from index_store.segment_rows import find_segments
from index_store.vectors import code_size
from index_store.view import Source, View, empty_view, memory_source
from paddlewheel.errors import GalleryNotFound, PaddlewheelError, SegmentCorrupt, SegmentStoreUnavailable

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0  # before a file that could not be reached is tried again
_SWEEP_SECONDS = 60.0  # between two sweeps for galleries that need not be held
_UNUSED_SECONDS = 1800.0  # that a gallery is held without a search

_EXISTING = "SELECT array_agg(id) FROM galleries WHERE id = ANY($1::bigint[])"

_GENERATION = "SELECT id, generation FROM galleries WHERE key = $1"

_TOMBSTONES = "SELECT id FROM gallery_tombstones WHERE gallery_id = %s AND generation > %s"

_MARK_DAMAGED = "UPDATE gallery_segments SET damaged = true WHERE id = %s AND NOT damaged"


class GalleryReaders:
    """The galleries that a process holds. Threads share them; a forked child keeps those of its parent.

    Searches also release galleries that another process deleted or that were not searched for long.
    """

    def __init__(self, database: Database, files: SegmentFiles) -> None:
        self._database = database
        self._files = files
        self._readers: dict[str, GalleryReader] = {}
        self._fork_lock = threading.Lock()
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        self._renew_locks()

    def current(self, key: str, work: Callable[[View], T]) -> T:
        """Do repeatable work on the gallery as it is now; raises GalleryNotFound.

        The query for the generation is sent first. Until its answer arrives the work is done on the view
        that is held, and repeated if the answer names another generation. After such an answer the next
        one is waited for, so that little is done twice in a gallery that changes all the time.
        """
        self._notice_fork()
        now = time.monotonic()
        reader = self._readers.get(key)
        if reader:
            reader.searched_at = now
        if now >= self._sweep_at:
            self.forget_unneeded()
        held = reader.held if reader else None
        with self._database.query(_GENERATION, (possible_key(key),)) as query:
            done = _attempt(work, held) if reader and held and reader.settled else None
            row = query.receive()
        if row is None:
            self.forget(key)
            raise GalleryNotFound(f"There is no gallery {key!r}.")
        if reader is None or held is None or held.gallery.id != row[0]:
            return work(self._reader(key).view(row[1], 0))
        view = reader.view(row[1], held.gallery.generation)
        return done() if done and held.gallery.generation == row[1] else work(view)

    def forget(self, key: str) -> None:
        """Release a gallery that was deleted."""
        with self._lock:
            self._readers.pop(key, None)

    def forget_unneeded(self) -> None:
        """Release galleries that were deleted or not searched for long; one thread at a time."""
        if not self._sweeping.acquire(blocking=False):
            return
        try:
            now = time.monotonic()
            self._sweep_at = now + _SWEEP_SECONDS
            with self._lock:
                readers = dict(self._readers)
            existing = self._existing([reader.held.gallery.id for reader in readers.values()])
            for key, reader in readers.items():
                if reader.held.gallery.id in existing and now - reader.searched_at < _UNUSED_SECONDS:
                    continue
                with self._lock:
                    if self._readers.get(key) is reader:
                        del self._readers[key]
        finally:
            self._sweeping.release()

    def _existing(self, gallery_ids: list[int]) -> set[int]:
        if not gallery_ids:
            return set()
        with self._database.query(_EXISTING, (gallery_ids,)) as query:
            (found,) = query.receive() or (None,)
        return set(found or ())

    def _reader(self, key: str) -> "GalleryReader":
        gallery = find_gallery(self._database, key)
        with self._lock:
            held = self._readers.get(key)
            if held is None or held.held.gallery.id != gallery.id:
                held = GalleryReader(self._database, self._files, gallery)
                self._readers[key] = held
            return held

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._renew_locks()

    def _renew_locks(self) -> None:
        # A thread that held one when the process was forked does not exist in the child to release it.
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()
        for reader in self._readers.values():
            reader.renew_locks()
        self._pid = os.getpid()


class GalleryReader:
    """Holds the latest view of one gallery and replaces it when the gallery has changed.

    `settled` says whether the gallery was unchanged at the last search, `searched_at` when that was, by the
    monotonic clock.
    """

    def __init__(self, database: Database, files: SegmentFiles, gallery: Gallery) -> None:
        self._database = database
        self._files = files
        self.held = empty_view(gallery)
        self.settled = False
        self.searched_at = time.monotonic()
        self._retry_at: float | None = None  # while the view has stand-ins
        self.renew_locks()

    def renew_locks(self) -> None:
        """Make new locks, for a process that was forked."""
        self._lock = threading.Lock()
        self._retrying = threading.Lock()

    def view(self, generation: int, held_before: int) -> View:
        """A view of that generation or a later one.

        `held_before` is the generation that was held before the query was sent. If it is higher than the
        database's, a backup was restored under the running process: everything is read again.
        """
        view = self.held
        self.settled = held_before == generation
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._retry_in_background()
        if view.gallery.generation == generation:
            return view
        with self._lock:
            if held_before > generation:
                self.held = self._refresh(empty_view(view.gallery))
            elif self.held.gallery.generation < generation:
                self.held = self._refresh(self.held)
            return self.held

    def _refresh(self, view: View) -> View:
        with self._database.snapshot() as cursor:
            cursor.execute(FIND_GALLERY, (view.gallery.key,))
            row = cursor.fetchone()
            if row is None or row[0] != view.gallery.id:
                return view
            gallery = gallery_from(row)
            segments = find_segments(cursor, gallery)
            known = max(view.gallery.generation, gallery.sealed_generation)
            size = code_size(gallery.spec.dimension, gallery.spec.precision)
            rows = copy_out(cursor, gallery.id, known, gallery.generation, size)
            removed = _tombstones(cursor, gallery.id, view.gallery.generation)
            all_removed = removed
            if any(segment.id not in view.segments for segment in segments):
                all_removed = _tombstones(cursor, gallery.id, 0)
        delta = view.delta.above(gallery.spec, gallery.sealed_generation).without(removed)
        return View(
            gallery=gallery,
            segments={
                segment.id: view.segments[segment.id].without(removed)
                if segment.id in view.segments
                else self._open(gallery, segment).without(all_removed)
                for segment in segments
                if segment.file is not None
            },
            delta=delta.append(gallery.spec, rows),
        )

    def _open(self, gallery: Gallery, segment: Segment) -> Source:
        """The segment's file, or its rows from Postgres where the file cannot be used."""
        waits_for = None
        try:
            opened = self._source_if_sound(segment)
            if opened is not None:
                return opened
        except SegmentStoreUnavailable as err:
            _LOGGER.warning("segment %s is read from Postgres: %s", segment.id, err)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            waits_for = segment
        return replace(memory_source(gallery.spec, self._rows(gallery, segment)), stand_in_for=waits_for)

    def _retry_in_background(self) -> None:
        """Try the files in a thread of their own: no search waits for a place that does not answer."""
        if self._retrying.acquire(blocking=False):
            threading.Thread(
                target=self._retry, name=f"files of {self.held.gallery.key}", daemon=True
            ).start()

    def _retry(self) -> None:
        """Open the files that can be reached by now."""
        try:
            for segment in self.held.unreached:
                opened = self._source_if_sound(segment)
                with self._lock:
                    self.held = self.held.reached(segment, opened)
        except PaddlewheelError as err:
            _LOGGER.warning("segments are still read from Postgres: %s", err)
        finally:
            with self._lock:
                self._retry_at = time.monotonic() + _RETRY_SECONDS if self.held.unreached else None
            self._retrying.release()

    def _source_if_sound(self, segment: Segment) -> Source | None:
        """The segment's file; None for a damaged one, which is marked to be rebuilt."""
        assert segment.file is not None  # noqa: S101 - the caller has checked
        try:
            opened = SegmentFile(self._files.fetch(segment.file, segment.bytes, segment.sha256))
        except SegmentCorrupt:
            with self._database.transaction() as cursor:
                cursor.execute(_MARK_DAMAGED, (segment.id,))
            return None
        return Source(index=opened.index, ids=opened.ids, labels=opened.labels)

    def _rows(self, gallery: Gallery, segment: Segment) -> StoredRows:
        size = code_size(gallery.spec.dimension, gallery.spec.precision)
        with self._database.snapshot() as cursor:
            return copy_out(cursor, gallery.id, segment.low, segment.high, size)


def _attempt(work: Callable[[View], T], view: View) -> Callable[[], T]:
    """Do the work; the returned function gives its result or raises its error."""
    try:
        done = work(view)
    except PaddlewheelError as err:
        failure = err

        def fail() -> T:
            raise failure

        return fail
    return lambda: done


def _tombstones(cursor: Cursor, gallery_id: int, after: int) -> Ids:
    cursor.execute(_TOMBSTONES, (gallery_id, after))
    return np.array([row[0] for row in cursor.fetchall()], np.int64)
