"""The table of dead letters.

Revision: jobs_0001. `job_store/schema.py` says what it is for; a test keeps the two the same.
"""

from alembic import op

revision = "jobs_0001"
down_revision = None
branch_labels = ("jobs",)
depends_on = None

_UP = """
CREATE TABLE dead_letters (
    number bigint GENERATED ALWAYS AS IDENTITY,
    task_id text NOT NULL,
    name text NOT NULL,
    queue text NOT NULL,
    request jsonb NOT NULL,
    headers jsonb NOT NULL,
    error_code text NOT NULL,
    error_message text NOT NULL,
    history jsonb NOT NULL,
    fingerprint text NOT NULL,
    occurrences integer NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'dead',
    created_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    filed_at timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    replay_task_id text,
    discarded_at timestamptz,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (number),
    CONSTRAINT dead_letters_state_check CHECK (state IN ('dead', 'replayed', 'discarded')),
    CONSTRAINT dead_letters_replay_check CHECK ((state = 'replayed') = (replay_task_id IS NOT NULL))
);
-- Requests that are alike are one open letter; a replayed one that fails again is a new one.
CREATE UNIQUE INDEX dead_letters_fingerprint_key ON dead_letters (fingerprint) WHERE state = 'dead';
CREATE INDEX dead_letters_state_number_idx ON dead_letters (state, number);
-- A letter is found by every task that it stands for.
CREATE INDEX dead_letters_history_idx ON dead_letters USING gin (history);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE dead_letters")
