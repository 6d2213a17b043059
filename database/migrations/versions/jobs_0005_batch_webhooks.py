"""Webhooks of batch jobs, and ended batch jobs that are deleted some day.

Revision: jobs_0005. `job_store/batch_schema.py` and `job_store/http_schema.py` say what the columns are for;
a test keeps them the same.
"""

from alembic import op

revision = "jobs_0005"
down_revision = "jobs_0004"
branch_labels = None
depends_on = None

_UP = """
ALTER TABLE batch_jobs ADD COLUMN webhook text;
CREATE INDEX batch_jobs_finished_at_idx ON batch_jobs (finished_at);

ALTER TABLE webhook_deliveries
    ALTER COLUMN job_id DROP NOT NULL,
    ADD COLUMN batch_job_id text,
    ADD COLUMN event jsonb,
    ADD CONSTRAINT webhook_deliveries_batch_job_id_fkey
        FOREIGN KEY (batch_job_id) REFERENCES batch_jobs (id) ON DELETE CASCADE,
    ADD CONSTRAINT webhook_deliveries_subject_check
        CHECK ((job_id IS NULL) = (batch_job_id IS NOT NULL AND event IS NOT NULL));
-- A batch job that is taken up again ends, and is announced, more than once.
CREATE INDEX webhook_deliveries_batch_job_id_idx ON webhook_deliveries (batch_job_id);
"""

_DOWN = """
DELETE FROM webhook_deliveries WHERE job_id IS NULL;
ALTER TABLE webhook_deliveries DROP COLUMN batch_job_id, DROP COLUMN event, ALTER COLUMN job_id SET NOT NULL;
DROP INDEX batch_jobs_finished_at_idx;
ALTER TABLE batch_jobs DROP COLUMN webhook;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
