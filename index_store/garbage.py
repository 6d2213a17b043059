"""Delete the files that nobody needs: dropped ones after a grace period, and those of sealers that died."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from database.locks import gallery_lock, try_lock
from database.pool import Database
from index_store.planning import SealingPolicy
from index_store.segment_folder import SegmentFiles
from paddlewheel.errors import SegmentStoreUnavailable

# A sealer holds the gallery's lock from announcing a segment until it is live. A process that holds the
# lock and finds one that is still building knows that its sealer died.
_UNWANTED = """
SELECT id::text, state FROM gallery_segments
WHERE gallery_id = %s
  AND (state = 'building' OR (state = 'dropped' AND dropped_at < clock_timestamp() - %s::interval))
"""

_GALLERIES = """
SELECT DISTINCT gallery_id FROM gallery_segments WHERE state IN ('building', 'dropped') ORDER BY gallery_id
"""

_MARK_DELETED = """
UPDATE gallery_segments SET state = 'deleted', deleted_at = clock_timestamp(), file = NULL
WHERE id = %s AND state <> 'live'
"""

# A sealer that has lost its lock may publish a file after it was collected. The place of files is listed
# only while there is such a sealer, because listing many files takes long.
_ABANDONED = """
SELECT EXISTS (
    SELECT FROM gallery_segments
    WHERE state = 'deleted' AND kind = '' AND deleted_at > now() - interval '1 day'
)
"""

_DELETED = "SELECT id::text FROM gallery_segments WHERE state = 'deleted' AND id = ANY(%s::uuid[])"

_KNOWN = "SELECT id::text FROM gallery_segments WHERE state <> 'deleted'"


@dataclass(frozen=True, kw_only=True)
class CollectedFiles:
    """What was deleted: files of dropped segments, files of dead sealers, and stray local files.

    `failures` are the files that could not be deleted, a sentence each; the next round tries again.
    """

    dropped: tuple[str, ...]
    abandoned: tuple[str, ...]
    stray: tuple[str, ...]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GarbageCollector:
    """Deletes files while readers and sealers work. A reader that is too late takes rows from Postgres."""

    database: Database
    files: SegmentFiles
    policy: SealingPolicy = field(default_factory=SealingPolicy)

    def run(self) -> CollectedFiles:
        """One round over all galleries, deleted ones too. A file that fails does not stop the others."""
        dropped: list[str] = []
        abandoned: list[str] = []
        failures: list[str] = []
        stray: tuple[str, ...] = ()
        for gallery_id in self._galleries():
            with try_lock(self.database, gallery_lock(gallery_id)) as lock:
                for segment, state in self._unwanted(gallery_id) if lock is not None else ():
                    with _collect_failure(failures, f"The file of segment {segment} could not be deleted"):
                        self._delete(segment)
                        (abandoned if state == "building" else dropped).append(segment)
        with _collect_failure(failures, "Files that sealers published too late could not be deleted"):
            for segment in self._published_late():
                self._delete(segment)
                abandoned.append(segment)
        with _collect_failure(failures, "Stray files could not be deleted"):
            stray = self.sweep()
        return CollectedFiles(
            dropped=tuple(dropped),
            abandoned=tuple(abandoned),
            stray=stray,
            failures=tuple(failures),
        )

    def sweep(self) -> tuple[str, ...]:
        """Delete what this machine no longer needs: copies of deleted files, scratch files."""
        return self.files.sweep(self.policy.lost_after.total_seconds(), self._known_files())

    def unknown_files(self) -> tuple[str, ...]:
        """Published files that no row names, as after restoring an older backup. `run` keeps them."""
        known = self._known_files()
        return tuple(name for name, _ in self.files.names() if name not in known)

    def sweep_unknown(self) -> tuple[str, ...]:
        """Delete those files, if they are old enough. Only for a folder that no other database uses."""
        known = self._known_files()
        lost_after = self.policy.lost_after.total_seconds()
        unknown = [name for name, age in self.files.names() if name not in known and age > lost_after]
        for name in unknown:
            self.files.delete(name)
        return tuple(unknown)

    def _known_files(self) -> set[str]:
        with self.database.cursor() as cursor:
            cursor.execute(_KNOWN)
            return {f"{row[0]}.segment" for row in cursor.fetchall()}

    def _galleries(self) -> list[int]:
        with self.database.cursor() as cursor:
            cursor.execute(_GALLERIES)
            return [row[0] for row in cursor.fetchall()]

    def _unwanted(self, gallery_id: int) -> list[tuple[str, str]]:
        with self.database.cursor() as cursor:
            cursor.execute(_UNWANTED, (gallery_id, self.policy.grace))
            return [(row[0], row[1]) for row in cursor.fetchall()]

    def _published_late(self) -> list[str]:
        """The segments that Postgres has as deleted although their files exist."""
        with self.database.cursor() as cursor:
            cursor.execute(_ABANDONED)
            (abandoned,) = cursor.fetchone() or (False,)
        if not abandoned:
            return []
        listed = [name.removesuffix(".segment") for name in self.unknown_files()]
        with self.database.cursor() as cursor:
            cursor.execute(_DELETED, (listed,))
            return [row[0] for row in cursor.fetchall()]

    def _delete(self, segment: str) -> None:
        self.files.delete(f"{segment}.segment")
        with self.database.cursor() as cursor:
            cursor.execute(_MARK_DELETED, (segment,))


@contextmanager
def _collect_failure(failures: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except SegmentStoreUnavailable as err:
        failures.append(f"{what}: {err.message}")
