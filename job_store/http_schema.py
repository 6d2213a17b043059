"""The tables behind the HTTP gateway.

api_keys            scopes of callers; only a key's hash is stored, never the key
http_indexes        the indexes of PaddleX's recognition services, and the next number of an image in each
http_operations     changes of those indexes in progress: a repeated request finds its own again
jobs                tasks that were submitted over HTTP, with their outcome: they outlive the broker
webhook_deliveries  announcements of a job's outcome or a batch job's end, and whether they arrived
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from job_store.schema import METADATA

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("revoked_at", DateTime(timezone=True)),
)
Index("api_keys_digest_key", API_KEYS.c.digest, unique=True)

HTTP_INDEXES = Table(
    "http_indexes",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("next_number", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("kind IN ('faces', 'images')", name="kind"),
)

HTTP_OPERATIONS = Table(
    "http_operations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("index_key", Text, nullable=False),
    Column("builds", Boolean, nullable=False),
    Column("first_number", BigInteger, nullable=False, server_default=text("0")),
    Column("kept", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("gateway", BigInteger, nullable=False),
    Column("claim", Text, nullable=False),
    Column("touched_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('open', 'done', 'dropped')", name="state"),
)
Index("http_operations_identity_idx", HTTP_OPERATIONS.c.identity)
Index(
    "http_operations_kept_identity_key",
    HTTP_OPERATIONS.c.identity,
    unique=True,
    postgresql_where=text("kept AND state <> 'dropped'"),
)
Index("http_operations_touched_at_idx", HTTP_OPERATIONS.c.touched_at)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("deadline_at", DateTime(timezone=True)),
    Column("request_id", Text, nullable=False),
    Column("webhook", Text),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("result", JSONB),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("enqueues", Integer, nullable=False, server_default=text("0")),
    Column("enqueued_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('queued', 'succeeded', 'failed', 'cancelled')", name="state"),
    CheckConstraint("(state = 'queued') = (finished_at IS NULL)", name="outcome"),
)
Index("jobs_key_id_created_at_idx", JOBS.c.key_id, JOBS.c.created_at.desc(), JOBS.c.id.desc())
Index("jobs_queued_idx", JOBS.c.enqueued_at, postgresql_where=text("state = 'queued'"))
Index("jobs_finished_at_idx", JOBS.c.finished_at)

WEBHOOK_DELIVERIES = Table(
    "webhook_deliveries",
    METADATA,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("url", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("batch_job_id", Text, ForeignKey("batch_jobs.id", ondelete="CASCADE")),
    Column("event", JSONB),
    CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
    CheckConstraint("(job_id IS NULL) = (batch_job_id IS NOT NULL AND event IS NOT NULL)", name="subject"),
)
Index("webhook_deliveries_job_id_key", WEBHOOK_DELIVERIES.c.job_id, unique=True)
Index("webhook_deliveries_batch_job_id_idx", WEBHOOK_DELIVERIES.c.batch_job_id)
Index(
    "webhook_deliveries_next_at_idx",
    WEBHOOK_DELIVERIES.c.next_at,
    postgresql_where=text("state = 'waiting'"),
)
