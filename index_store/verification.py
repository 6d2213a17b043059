"""Compare a gallery's files and counters with its rows in Postgres, which are the truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from database.pool import Database
from index_store.gallery import Embeddings, Gallery, SearchHit, Segment
from index_store.gallery_lookup import FIND_GALLERY, gallery_from, possible_key
from index_store.progress import Progress, silent
from index_store.rows import StoredRows, copy_out
from index_store.segment_file import SegmentFile
from index_store.segment_folder import SegmentFiles
from index_store.segment_rows import find_segments
from index_store.vectors import code_size, decode
from paddlewheel.errors import GalleryNotFound, SegmentCorrupt

Search = Callable[[Embeddings], tuple[tuple[SearchHit, ...], ...]]

_SAMPLE = 100
_LEAST_SAMPLE = 10

_REMOVED = """
SELECT id FROM gallery_tombstones
WHERE gallery_id = %s AND appended_generation > %s AND appended_generation <= %s
"""

_COUNT = """
SELECT g.live, (SELECT count(*) FROM gallery_vectors v WHERE v.gallery_id = g.id)
FROM galleries g WHERE g.id = %s
"""

_STILL_LIVE = "SELECT count(*) FROM gallery_vectors WHERE gallery_id = %s AND id = ANY(%s::bigint[])"

_MARK_DAMAGED = "UPDATE gallery_segments SET damaged = true WHERE id = ANY(%s::uuid[]) AND state = 'live'"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked, and a sentence for each problem; none when all is well."""

    vectors: int
    segments: int
    damaged: tuple[str, ...]
    problems: tuple[str, ...]


def verify(
    database: Database, files: SegmentFiles, key: str, search: Search, progress: Progress = silent
) -> Verification:
    """Read every file of the gallery and compare it with the rows; mark damaged ones to be rebuilt.

    Searches stay right meanwhile: a process that opens a damaged file takes its rows from Postgres. Raises
    SegmentStoreUnavailable where a file cannot be reached, of which nothing is known then.
    `search` answers queries of shape (n, dimension) with hits of each, best first, as far as there are any.
    """
    problems: list[str] = []
    damaged: list[str] = []
    with database.snapshot() as cursor:
        cursor.execute(FIND_GALLERY, (possible_key(key),))
        row = cursor.fetchone()
        if row is None:
            raise GalleryNotFound(f"There is no gallery {key!r}.")
        gallery = gallery_from(row)
        segments = find_segments(cursor, gallery)
        cursor.execute(_COUNT, (gallery.id,))
        live, counted = cursor.fetchone() or (0, 0)
    if live != counted:
        problems.append(f"The gallery counts {live} live vectors, but has {counted}.")
    problems += _gaps(gallery, segments)
    rows = sum(segment.rows for segment in segments)
    checked = 0
    share = max(_LEAST_SAMPLE, _SAMPLE // (len(segments) + 1))
    samples = [_sample(_stored(database, gallery, gallery.sealed_generation, gallery.generation)[0], share)]
    for segment in segments:
        progress("check", checked, rows)
        checked += segment.rows
        stored, removed = _stored(database, gallery, segment.low, segment.high)
        samples.append(_sample(stored, share))
        found = _segment_problems(files, segment, stored, removed)
        if found and not _is_live(database, segment):
            continue  # rewritten meanwhile, so its tombstones and its file may be gone
        if found:
            damaged.append(segment.id)
        problems += found
    progress("check", rows, rows)
    with database.cursor() as cursor:
        cursor.execute(_MARK_DAMAGED, (damaged,))
    problems += _search_problems(database, gallery, samples, search)
    return Verification(
        vectors=counted, segments=len(segments), damaged=tuple(damaged), problems=tuple(problems)
    )


def _gaps(gallery: Gallery, segments: tuple[Segment, ...]) -> list[str]:
    bounds = [0, *(segment.high for segment in segments)]
    starts = [*(segment.low for segment in segments), gallery.sealed_generation]
    return [
        f"The segments leave out or repeat generations between {end} and {start}."
        for end, start in zip(bounds, starts, strict=True)
        if end != start
    ]


def _stored(database: Database, gallery: Gallery, low: int, high: int) -> tuple[StoredRows, set[int]]:
    """The live rows of a run of generations, and the ids of those that were removed from it."""
    size = code_size(gallery.spec.dimension, gallery.spec.precision)
    with database.snapshot() as cursor:
        rows = copy_out(cursor, gallery.id, low, high, size)
        cursor.execute(_REMOVED, (gallery.id, low, high))
        return rows, {row[0] for row in cursor.fetchall()}


def _sample(rows: StoredRows, count: int) -> StoredRows:
    """Other rows each time, so that repeated checks come to look at more of them."""
    chosen = np.random.default_rng().choice(len(rows), min(count, len(rows)), replace=False)
    return rows.take(np.sort(chosen))


def _segment_problems(
    files: SegmentFiles, segment: Segment, rows: StoredRows, removed: set[int]
) -> list[str]:
    if segment.file is None:
        return [f"Segment {segment.id} has no file, but {len(rows)} rows."] if len(rows) else []
    try:
        opened = SegmentFile(files.fetch(segment.file, segment.bytes, segment.sha256))
    except SegmentCorrupt as err:
        return [err.message]
    return _file_problems(segment, opened, rows, removed)


def _file_problems(segment: Segment, opened: SegmentFile, rows: StoredRows, removed: set[int]) -> list[str]:
    in_file = set(opened.ids.tolist())
    stored = dict(zip(rows.ids.tolist(), rows.labels, strict=True))
    problems = []
    if in_file - removed != set(stored):
        problems.append(f"Segment {segment.id} and Postgres do not hold the same vectors.")
    wrong = sum(
        stored.get(vector_id, opened.labels[row]) != opened.labels[row]
        for row, vector_id in enumerate(opened.ids.tolist())
    )
    if wrong:
        problems.append(f"Segment {segment.id} has {wrong} labels that Postgres has not.")
    return problems


def _search_problems(
    database: Database, gallery: Gallery, samples: list[StoredRows], search: Search
) -> list[str]:
    """A sample of stored embeddings, searched for: each has to find itself or one as near."""
    ids = [number for rows in samples for number in rows.ids.tolist()]
    if not ids:
        return []
    vectors = decode(np.concatenate([rows.codes for rows in samples]), gallery.spec.precision)
    own = (vectors * vectors).sum(axis=1) if gallery.spec.metric == "IP" else np.zeros(len(vectors))
    worst = -np.inf if gallery.spec.metric == "IP" else np.inf
    answers = search(vectors)
    best = np.array([hits[0].score if hits else worst for hits in answers])
    tolerance = 1e-2 * np.maximum(1, np.abs(own))
    missed = best < own - tolerance if gallery.spec.metric == "IP" else best > own + tolerance
    suspects = [number for number, bad in zip(ids, missed.tolist(), strict=True) if bad]
    if not suspects:
        return []
    with database.cursor() as cursor:  # the others were removed meanwhile
        cursor.execute(_STILL_LIVE, (gallery.id, suspects))
        (lost,) = cursor.fetchone() or (0,)
    return [f"{lost} of {len(ids)} vectors are not found by themselves."] if lost else []


def _is_live(database: Database, segment: Segment) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM gallery_segments WHERE id = %s AND state = 'live'", (segment.id,))
        return cursor.fetchone() is not None
