"""The tables of batch jobs.

Revision: jobs_0003. `job_store/batch_schema.py` says what they are for; a test keeps the two the same.
"""

from alembic import op

revision = "jobs_0003"
down_revision = "jobs_0002"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE batch_jobs (
    id text NOT NULL,
    key_id text NOT NULL,
    task text NOT NULL,
    options jsonb NOT NULL,
    manifest text NOT NULL,
    sink text NOT NULL,
    shard_size integer,
    "window" integer,
    overwrite boolean NOT NULL,
    state text NOT NULL DEFAULT 'planning',
    lines bigint,
    done_lines bigint NOT NULL DEFAULT 0,
    failed_lines bigint NOT NULL DEFAULT 0,
    redone_lines bigint NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    planned_at timestamptz,
    finished_at timestamptz,
    sink_digest text,
    parts_removed_at timestamptz,
    CONSTRAINT batch_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT batch_jobs_state_check
        CHECK (state IN ('planning', 'running', 'finishing', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT batch_jobs_outcome_check
        CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX batch_jobs_key_id_created_at_idx ON batch_jobs (key_id, created_at DESC);
-- Those that the conductor looks after: not ended, or with parts that are still kept.
CREATE INDEX batch_jobs_kept_idx ON batch_jobs (created_at) WHERE parts_removed_at IS NULL;

CREATE TABLE batch_shards (
    job_id text NOT NULL,
    first_line bigint NOT NULL,
    lines integer NOT NULL,
    begin_byte bigint NOT NULL,
    end_byte bigint NOT NULL,
    digest text NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    task_id text,
    queued_at timestamptz,
    lease_until timestamptz,
    retry_at timestamptz,
    finished_at timestamptz,
    losses integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    part text,
    part_bytes bigint,
    part_digest text,
    failed_lines integer NOT NULL DEFAULT 0,
    CONSTRAINT batch_shards_pkey PRIMARY KEY (job_id, first_line),
    CONSTRAINT batch_shards_job_id_fkey FOREIGN KEY (job_id) REFERENCES batch_jobs (id) ON DELETE CASCADE,
    CONSTRAINT batch_shards_state_check CHECK (state IN ('waiting', 'queued', 'running', 'done')),
    CONSTRAINT batch_shards_part_check CHECK (state <> 'done' OR part IS NOT NULL)
);
-- The next of a job to enqueue, and those under way.
CREATE INDEX batch_shards_job_id_state_first_line_idx ON batch_shards (job_id, state, first_line);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE batch_shards; DROP TABLE batch_jobs;")
