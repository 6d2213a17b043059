"""The tables. Postgres is the truth: every file can be rebuilt from these rows.

galleries 1 --- n vectors      the live vectors, embedding inline
          1 --- n operations   the log: one row a commit, numbered by `generation`
          1 --- n tombstones   removed ids that a file or another process may still hold
          1 --- n segments     the files: which generations they cover, their digest and state

Vectors name their operation (`batch_id`), and the operation its generation, because the generation is known
only at the end of the transaction, when the gallery's row is locked for a moment.
"""

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

VECTOR_IDS = Sequence("gallery_vector_ids", data_type=BigInteger, cache=1, metadata=METADATA)
BATCH_IDS = Sequence("gallery_batch_ids", data_type=BigInteger, cache=1, metadata=METADATA)

GALLERIES = Table(
    "galleries",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("dimension", Integer, nullable=False),
    Column("metric", Text, nullable=False),
    Column("index_type", Text, nullable=False),
    Column("precision", Text, nullable=False),
    Column("model_fingerprint", Text),
    Column("generation", BigInteger, nullable=False, server_default=text("0")),
    Column("sealed_generation", BigInteger, nullable=False, server_default=text("0")),
    Column("live", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("metric IN ('IP', 'L2')", name="metric"),
    CheckConstraint("index_type IN ('auto', 'Flat', 'IVF', 'HNSW32')", name="index_type"),
    CheckConstraint("precision IN ('fp16', 'fp32')", name="precision"),
    CheckConstraint("live >= 0", name="live"),
)

# No foreign key to galleries: its check would lock the gallery's row once per vector. The last statement
# of an append updates that row and notices whether the gallery still exists.
VECTORS = Table(
    "gallery_vectors",
    METADATA,
    Column("gallery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("external_id", Text),
    Column("metadata", JSONB),
    Column("embedding", LargeBinary, nullable=False),
)
Index(None, VECTORS.c.gallery_id, VECTORS.c.label)
Index(
    None,
    VECTORS.c.gallery_id,
    VECTORS.c.external_id,
    postgresql_where=VECTORS.c.external_id.is_not(None),
)

OPERATIONS = Table(
    "gallery_operations",
    METADATA,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("gallery_id", BigInteger, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("request_digest", LargeBinary, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("first_id", BigInteger),
    Column("last_id", BigInteger),
    Column("ids", ARRAY(BigInteger)),  # only where the ids are not first_id..last_id without a gap
    Column("segments", ARRAY(UUID(as_uuid=False))),  # removal: the files that held its vectors
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("verified_at", DateTime(timezone=True)),
    Column("note", JSONB),  # append: what a repeat answers; removal: how much was searched for
    UniqueConstraint("gallery_id", "operation_id"),
    UniqueConstraint("gallery_id", "generation"),
    CheckConstraint("kind IN ('append', 'remove')", name="kind"),
)

TOMBSTONES = Table(
    "gallery_tombstones",
    METADATA,
    Column("gallery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("appended_generation", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("removed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)
Index(None, TOMBSTONES.c.gallery_id, TOMBSTONES.c.generation)

SEGMENTS = Table(
    "gallery_segments",
    METADATA,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("gallery_id", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("kind", Text, nullable=False, server_default=text("''")),
    Column("file", Text),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("sha256", Text, nullable=False, server_default=text("''")),
    Column("recall", REAL),
    Column("damaged", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("dropped_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('building', 'live', 'dropped', 'deleted')", name="state"),
    CheckConstraint("low < high", name="interval"),
)
# Deleted rows stay for the receipts of erasures; every round of maintenance reads all the others.
Index(
    "gallery_segments_present_idx",
    SEGMENTS.c.gallery_id,
    SEGMENTS.c.state,
    SEGMENTS.c.id,
    postgresql_where=SEGMENTS.c.state != "deleted",
)
# Maintenance also looks for sealers that were given up lately, whose files may still appear.
Index(
    "gallery_segments_abandoned_idx",
    SEGMENTS.c.deleted_at,
    postgresql_where=(SEGMENTS.c.state == "deleted") & (SEGMENTS.c.kind == ""),
)
