"""The index of segments leaves out the deleted ones, of which there are ever more; abandoned ones get one.

Revision: galleries_0003.
"""

from alembic import op

revision = "galleries_0003"
down_revision = "galleries_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the index; no question is asked about the deleted segments of a gallery."""
    op.execute("DROP INDEX gallery_segments_gallery_id_state_idx")
    op.execute(
        "CREATE INDEX gallery_segments_present_idx ON gallery_segments (gallery_id, state, id)"
        " WHERE state <> 'deleted'"
    )
    op.execute(
        "CREATE INDEX gallery_segments_abandoned_idx ON gallery_segments (deleted_at)"
        " WHERE state = 'deleted' AND kind = ''"
    )


def downgrade() -> None:
    """Put the index of all segments back."""
    op.execute("DROP INDEX gallery_segments_abandoned_idx")
    op.execute("DROP INDEX gallery_segments_present_idx")
    op.execute("CREATE INDEX gallery_segments_gallery_id_state_idx ON gallery_segments (gallery_id, state)")
