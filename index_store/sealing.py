"""Sealing and compaction: rows of Postgres become immutable files, in the background, one gallery at a time.

1. a row in state `building` names the file before there is one, so that a crash leaves nothing unknown;
2. the rows are read in one snapshot, the index built and tested, the file written and made durable;
3. one transaction publishes it, drops those it replaces and forgets the tombstones that it has no rows for.

Only the holder of the gallery's advisory lock seals, across all machines. The last transaction runs on the
connection that holds the lock, so a sealer that has lost it cannot publish. The same connection is queried
before the file gets its name, because the next holder may have collected the segment already.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from database.locks import gallery_lock, try_lock
from database.pool import Database, transaction_on
from index_store.gallery import Gallery, Segment
from index_store.gallery_lookup import FIND_GALLERY, find_gallery, gallery_from
from index_store.indexes import use_threads
from index_store.planning import Reason, SealingPolicy, SegmentRewrite, Unsealed, plan
from index_store.rows import StoredRows, copy_out
from index_store.segment_file import write_segment
from index_store.segment_folder import SegmentFiles
from index_store.segment_rows import find_segments
from index_store.selftest import build_tested
from index_store.vectors import code_size
from paddlewheel.errors import DatabaseUnavailable, GalleryNotFound

Step = Literal["announce", "read", "build", "write", "publish", "commit", "done"]

# The operations that one segment may cover: as many as stay within the largest, and at least one append.
_UNSEALED = """
WITH unsealed AS (
    SELECT generation, created_at, appended, sum(appended) OVER (ORDER BY generation) AS total
    FROM (
        SELECT generation, created_at, CASE kind WHEN 'append' THEN rows ELSE 0 END AS appended
        FROM gallery_operations WHERE gallery_id = %(gallery)s AND generation > %(sealed)s
    ) AS operations
),
covered AS (
    SELECT coalesce(sum(appended), 0)::bigint AS appended, max(generation) AS high,
           min(created_at) FILTER (WHERE appended > 0) AS oldest
    FROM unsealed WHERE total <= %(max_rows)s OR total = appended
)
SELECT appended, high, coalesce(high < (SELECT max(generation) FROM unsealed), false),
       (SELECT count(*) FROM gallery_tombstones t
        WHERE t.gallery_id = %(gallery)s AND t.appended_generation > %(sealed)s
          AND t.appended_generation <= high),
       oldest, now()
FROM covered
"""

# The lock on the gallery's row puts this before or after every removal: a removal after it finds the
# announced file among those that may hold its vectors, one before it is in the snapshot.
_ANNOUNCE = """
WITH locked AS (SELECT id FROM galleries WHERE id = %s FOR NO KEY UPDATE)
INSERT INTO gallery_segments (id, gallery_id, low, high, state)
SELECT %s, id, %s, %s, 'building' FROM locked
"""

_READ_GENERATION = "SELECT generation FROM galleries WHERE id = %s"

_STILL_ANNOUNCED = """
SELECT s.state = 'building', g.id IS NOT NULL
FROM gallery_segments s LEFT JOIN galleries g ON g.id = s.gallery_id WHERE s.id = %s
"""

_BUMP = """
UPDATE galleries
SET generation = generation + 1, sealed_generation = greatest(sealed_generation, %s)
WHERE id = %s RETURNING generation
"""

_DROP_COVERED = """
UPDATE gallery_segments SET state = 'dropped', dropped_at = clock_timestamp()
WHERE gallery_id = %s AND state = 'live' AND low >= %s AND high <= %s
"""

_PUBLISH = """
UPDATE gallery_segments
SET state = 'live', rows = %s, kind = %s, file = %s, bytes = %s, sha256 = %s, recall = %s
WHERE id = %s AND state = 'building'
"""

_FORGET_TOMBSTONES = """
DELETE FROM gallery_tombstones
WHERE gallery_id = %s AND appended_generation > %s AND appended_generation <= %s AND generation <= %s
"""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A segment that was written: why, of how many rows, as which kind and with which recall."""

    segment: str
    reason: Reason
    rows: int
    kind: str
    bytes: int
    recall: float | None


@dataclass(frozen=True, kw_only=True)
class _File:
    kind: str = "empty"
    name: str | None = None
    bytes: int = 0
    sha256: str = ""
    recall: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sealer:
    """Seals and compacts galleries. `on_step` is called as each step begins, by progress bars and tests."""

    database: Database
    files: SegmentFiles
    policy: SealingPolicy = field(default_factory=SealingPolicy)
    threads: int = 1
    on_step: Callable[[Step], None] = lambda step: None  # noqa: ARG005

    def run(self, key: str, *, at_most: int | None = None) -> tuple[Sealed, ...] | None:
        """Do the rewrites that are due, `at_most` so many; None when another process seals this gallery."""
        return self._with_lock(key, lambda gallery, lock: self._run_plan(gallery, lock, at_most))

    def compact(self, key: str) -> tuple[Sealed, ...] | None:
        """Write the whole gallery as few segments as possible, without any removed row."""
        return self._with_lock(key, self._rewrite_all)

    def _with_lock(
        self, key: str, work: Callable[[Gallery, Connection], tuple[Sealed, ...]]
    ) -> tuple[Sealed, ...] | None:
        gallery = find_gallery(self.database, key)
        with try_lock(self.database, gallery_lock(gallery.id)) as connection:
            return None if connection is None else work(gallery, connection)

    def _run_plan(self, gallery: Gallery, lock: Connection, at_most: int | None) -> tuple[Sealed, ...]:
        done: list[Sealed] = []
        while at_most is None or len(done) < at_most:
            segments, unsealed, now = self._state(gallery)
            rewrite = plan(segments, unsealed, self.policy, now)
            if rewrite is None:
                break
            done.append(self._rewrite(gallery, rewrite, lock))
        return tuple(done)

    def _rewrite_all(self, gallery: Gallery, lock: Connection) -> tuple[Sealed, ...]:
        segments, unsealed, _ = self._state(gallery)
        done: list[Sealed] = []
        while unsealed.full:
            done.append(self._rewrite(gallery, _requested_rewrite(unsealed.low, unsealed.high), lock))
            _, unsealed, _ = self._state(gallery)
        runs: list[tuple[int, int, int]] = []
        pieces = [(segment.low, segment.high, segment.rows) for segment in segments]
        if unsealed.high > unsealed.low:
            pieces.append((unsealed.low, unsealed.high, unsealed.rows))
        for low, high, rows in pieces:
            if runs and runs[-1][1] == low and runs[-1][2] + rows <= self.policy.max_rows:
                runs[-1] = (runs[-1][0], high, runs[-1][2] + rows)
            else:
                runs.append((low, high, rows))
        done += [self._rewrite(gallery, _requested_rewrite(low, high), lock) for low, high, _ in runs]
        return tuple(done)

    def _state(self, gallery: Gallery) -> tuple[tuple[Segment, ...], Unsealed, datetime]:
        with self.database.snapshot() as cursor:  # of one moment: a later append has a later generation
            cursor.execute(FIND_GALLERY, (gallery.key,))
            row = cursor.fetchone()
            if row is None or row[0] != gallery.id:
                raise _deleted_meanwhile(gallery)
            gallery = gallery_from(row)
            segments = find_segments(cursor, gallery, count_dead=True)
            sealed = gallery.sealed_generation
            cursor.execute(
                _UNSEALED, {"gallery": gallery.id, "sealed": sealed, "max_rows": self.policy.max_rows}
            )
            appended, high, full, dead, oldest, now = cursor.fetchone() or (0, sealed, False, 0, None, None)
        unsealed = Unsealed(
            rows=appended - dead,
            dead=dead,
            low=sealed,
            high=high if full else gallery.generation,
            oldest=oldest,
            full=full,
        )
        return segments, unsealed, now

    def _rewrite(self, gallery: Gallery, rewrite: SegmentRewrite, lock: Connection) -> Sealed:
        segment = str(uuid.uuid4())
        self.on_step("announce")
        with self.database.transaction() as cursor:
            cursor.execute(_ANNOUNCE, (gallery.id, segment, rewrite.low, rewrite.high))
            if not cursor.rowcount:
                raise _deleted_meanwhile(gallery)
        self.on_step("read")
        rows, seen = self._read(gallery, rewrite)
        file = self._write(gallery, segment, rows, lock) if len(rows) else _File()
        self.on_step("commit")
        with lock.cursor() as cursor, transaction_on(cursor):
            _publish(cursor, gallery, rewrite, segment, len(rows), file, seen)
        self.on_step("done")
        return Sealed(
            segment=segment,
            reason=rewrite.reason,
            rows=len(rows),
            kind=file.kind,
            bytes=file.bytes,
            recall=file.recall,
        )

    def _read(self, gallery: Gallery, rewrite: SegmentRewrite) -> tuple[StoredRows, int]:
        size = code_size(gallery.spec.dimension, gallery.spec.precision)
        with self.database.snapshot() as cursor:
            cursor.execute(_READ_GENERATION, (gallery.id,))
            (seen,) = cursor.fetchone() or (0,)
            return copy_out(cursor, gallery.id, rewrite.low, rewrite.high, size), seen

    def _write(self, gallery: Gallery, segment: str, rows: StoredRows, lock: Connection) -> _File:
        name = f"{segment}.segment"
        self.on_step("build")
        use_threads(self.threads)
        built = build_tested(gallery.spec, rows.codes)
        self.on_step("write")
        scratch = self.files.scratch(name)
        try:
            size, digest = write_segment(scratch, built.index, rows.ids, rows.labels)
            self.on_step("publish")
            _require_announced(gallery, segment, lock)
        except BaseException:
            with suppress(OSError):  # a later sweep finds it
                scratch.unlink(missing_ok=True)
            raise
        self.files.publish(name)
        return _File(kind=built.kind, name=name, bytes=size, sha256=digest, recall=built.recall_at_1)


def _requested_rewrite(low: int, high: int) -> SegmentRewrite:
    return SegmentRewrite(low=low, high=high, reason="asked")


def _deleted_meanwhile(gallery: Gallery) -> GalleryNotFound:
    return GalleryNotFound(f"The gallery {gallery.key!r} was deleted meanwhile.")


def _require_announced(gallery: Gallery, segment: str, lock: Connection) -> None:
    """Raise if the segment may have been collected before its file existed."""
    with lock.cursor() as cursor:
        cursor.execute(_STILL_ANNOUNCED, (segment,))
        announced, exists = cursor.fetchone() or (False, False)
    if not announced:
        raise _lost_lock(gallery) if exists else _deleted_meanwhile(gallery)


def _lost_lock(gallery: Gallery) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The lock on the gallery {gallery.key!r} was lost with its connection while it was sealed: seal it "
        "again, or leave that to the next round of maintenance."
    )


def _publish(
    cursor: Cursor,
    gallery: Gallery,
    rewrite: SegmentRewrite,
    segment: str,
    rows: int,
    file: _File,
    seen: int,
) -> None:
    cursor.execute(_BUMP, (rewrite.high, gallery.id))
    if cursor.fetchone() is None:
        return  # the gallery was deleted meanwhile, and its segments dropped with it
    cursor.execute(_DROP_COVERED, (gallery.id, rewrite.low, rewrite.high))
    cursor.execute(_PUBLISH, (rows, file.kind, file.name, file.bytes, file.sha256, file.recall, segment))
    if not cursor.rowcount:
        raise _lost_lock(gallery)
    cursor.execute(_FORGET_TOMBSTONES, (gallery.id, rewrite.low, rewrite.high, seen))
