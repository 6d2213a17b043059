"""The tables behind the HTTP gateway: API keys, indexes, jobs, webhook deliveries.

Revision: jobs_0002. `job_store/http_schema.py` says what they are for; a test keeps the two the same.
"""

from alembic import op

revision = "jobs_0002"
down_revision = "jobs_0001"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE api_keys (
    id text NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX api_keys_digest_key ON api_keys (digest);

CREATE TABLE http_indexes (
    key text NOT NULL,
    kind text NOT NULL,
    next_number bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT http_indexes_pkey PRIMARY KEY (key),
    CONSTRAINT http_indexes_kind_check CHECK (kind IN ('faces', 'images'))
);

CREATE TABLE jobs (
    id text NOT NULL,
    key_id text NOT NULL,
    name text NOT NULL,
    request jsonb NOT NULL,
    digest text NOT NULL,
    priority text NOT NULL,
    deadline_at timestamptz,
    request_id text NOT NULL,
    webhook text,
    state text NOT NULL DEFAULT 'queued',
    result jsonb,
    error_code text,
    error_message text,
    enqueues integer NOT NULL DEFAULT 0,
    enqueued_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_state_check CHECK (state IN ('queued', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT jobs_outcome_check CHECK ((state = 'queued') = (finished_at IS NULL))
);
-- A caller's own jobs, newest first.
CREATE INDEX jobs_key_id_created_at_idx ON jobs (key_id, created_at DESC, id DESC);
-- What the sweeper looks after, and what it deletes when its time has come.
CREATE INDEX jobs_queued_idx ON jobs (enqueued_at) WHERE state = 'queued';
CREATE INDEX jobs_finished_at_idx ON jobs (finished_at);

CREATE TABLE webhook_deliveries (
    number bigint GENERATED ALWAYS AS IDENTITY,
    job_id text NOT NULL,
    url text NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    last_status integer,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (number),
    CONSTRAINT webhook_deliveries_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('waiting', 'delivered', 'given_up'))
);
-- One announcement a job.
CREATE UNIQUE INDEX webhook_deliveries_job_id_key ON webhook_deliveries (job_id);
CREATE INDEX webhook_deliveries_next_at_idx ON webhook_deliveries (next_at) WHERE state = 'waiting';
"""

_DOWN = """
DROP TABLE webhook_deliveries;
DROP TABLE jobs;
DROP TABLE http_indexes;
DROP TABLE api_keys;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
