"""Changes of indexes under way, so that one that is sent again to another gateway is the same one.

Revision: jobs_0004. `job_store/http_schema.py` says what the table is for; a test keeps the two the same.
"""

from alembic import op

revision = "jobs_0004"
down_revision = "jobs_0003"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE http_operations (
    id text NOT NULL,
    identity text NOT NULL,
    digest text NOT NULL,
    index_key text NOT NULL,
    builds boolean NOT NULL,
    first_number bigint NOT NULL DEFAULT 0,
    kept boolean NOT NULL,
    state text NOT NULL DEFAULT 'open',
    gateway bigint NOT NULL,
    claim text NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT http_operations_pkey PRIMARY KEY (id),
    CONSTRAINT http_operations_state_check CHECK (state IN ('open', 'done', 'dropped'))
);
CREATE INDEX http_operations_identity_idx ON http_operations (identity);
-- One idempotency key is one operation.
CREATE UNIQUE INDEX http_operations_kept_identity_key ON http_operations (identity)
    WHERE kept AND state <> 'dropped';
-- What the sweeper looks after.
CREATE INDEX http_operations_touched_at_idx ON http_operations (touched_at);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE http_operations;")
