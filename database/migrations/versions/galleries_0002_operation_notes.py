"""What an operation's caller wants to know when it is repeated.

Revision: galleries_0002.
"""

from alembic import op

revision = "galleries_0002"
down_revision = "galleries_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; operations from before have no note."""
    op.execute("ALTER TABLE gallery_operations ADD COLUMN note jsonb")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE gallery_operations DROP COLUMN note")
