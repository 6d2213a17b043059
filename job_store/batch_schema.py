"""The tables of batch jobs.

batch_jobs    a manifest in, a result file out: the request, its state and its outcome
batch_shards  some lines of a manifest each: the worker that does them, its lease, and their part file
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from job_store.schema import METADATA

BATCH_JOBS = Table(
    "batch_jobs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("sink", Text, nullable=False),
    Column("shard_size", Integer),
    Column("window", Integer),
    Column("overwrite", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'planning'")),
    Column("lines", BigInteger),
    Column("done_lines", BigInteger, nullable=False, server_default=text("0")),
    Column("failed_lines", BigInteger, nullable=False, server_default=text("0")),
    Column("redone_lines", BigInteger, nullable=False, server_default=text("0")),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("planned_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("sink_digest", Text),
    Column("parts_removed_at", DateTime(timezone=True)),
    Column("webhook", Text),
    CheckConstraint(
        "state IN ('planning', 'running', 'finishing', 'succeeded', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint(
        "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="outcome"
    ),
)
Index("batch_jobs_key_id_created_at_idx", BATCH_JOBS.c.key_id, BATCH_JOBS.c.created_at.desc())
Index("batch_jobs_kept_idx", BATCH_JOBS.c.created_at, postgresql_where=text("parts_removed_at IS NULL"))
Index("batch_jobs_finished_at_idx", BATCH_JOBS.c.finished_at)

BATCH_SHARDS = Table(
    "batch_shards",
    METADATA,
    Column("job_id", Text, ForeignKey("batch_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("first_line", BigInteger, primary_key=True),
    Column("lines", Integer, nullable=False),
    Column("begin_byte", BigInteger, nullable=False),
    Column("end_byte", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("task_id", Text),
    Column("queued_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("retry_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("losses", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("part", Text),
    Column("part_bytes", BigInteger),
    Column("part_digest", Text),
    Column("failed_lines", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("state IN ('waiting', 'queued', 'running', 'done')", name="state"),
    CheckConstraint("state <> 'done' OR part IS NOT NULL", name="part"),
)
Index(
    "batch_shards_job_id_state_first_line_idx",
    *(BATCH_SHARDS.c[n] for n in ("job_id", "state", "first_line")),
)
