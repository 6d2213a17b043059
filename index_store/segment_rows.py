"""The rows of segments: which files hold which generations of a gallery."""

from collections.abc import Sequence
from dataclasses import fields

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names the class so

from index_store.gallery import Gallery, Segment

_SEGMENTS_WITH_DEAD = """
SELECT s.id::text, s.low, s.high, s.rows, s.kind, s.file, s.bytes, s.sha256, s.recall,
       s.created_at, s.damaged, count(t.id), min(t.removed_at)
FROM gallery_segments s
LEFT JOIN gallery_tombstones t
  ON t.gallery_id = s.gallery_id AND t.appended_generation > s.low AND t.appended_generation <= s.high
WHERE s.gallery_id = %s AND s.state = 'live'
GROUP BY s.id ORDER BY s.low
"""

_SEGMENTS = """
SELECT id::text, low, high, rows, kind, file, bytes, sha256, recall, created_at, damaged
FROM gallery_segments WHERE gallery_id = %s AND state = 'live' ORDER BY low
"""

_SEGMENT_FIELDS = tuple(field.name for field in fields(Segment))


def find_segments(cursor: Cursor, gallery: Gallery, *, count_dead: bool = False) -> tuple[Segment, ...]:
    """The live segments, ascending; counting their removed rows takes a join."""
    cursor.execute(_SEGMENTS_WITH_DEAD if count_dead else _SEGMENTS, (gallery.id,))
    return tuple(_segment(row) for row in cursor.fetchall())


def _segment(row: Sequence[object]) -> Segment:
    return Segment(**dict(zip(_SEGMENT_FIELDS, row, strict=False)))  # type: ignore[arg-type]
