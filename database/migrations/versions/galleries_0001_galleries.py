"""The galleries' tables.

Revision: galleries_0001. `index_store/schema.py` says what each is for; a test keeps the two the same.
"""

from alembic import op

revision = "galleries_0001"
down_revision = None
branch_labels = ("galleries",)
depends_on = None

_UP = """
CREATE SEQUENCE gallery_vector_ids AS bigint;
CREATE SEQUENCE gallery_batch_ids AS bigint;

CREATE TABLE galleries (
    id bigint GENERATED ALWAYS AS IDENTITY,
    key text NOT NULL,
    dimension integer NOT NULL,
    metric text NOT NULL,
    index_type text NOT NULL,
    precision text NOT NULL,
    model_fingerprint text,
    generation bigint NOT NULL DEFAULT 0,
    sealed_generation bigint NOT NULL DEFAULT 0,
    live bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT galleries_pkey PRIMARY KEY (id),
    CONSTRAINT galleries_key_key UNIQUE (key),
    CONSTRAINT galleries_metric_check CHECK (metric IN ('IP', 'L2')),
    CONSTRAINT galleries_index_type_check CHECK (index_type IN ('auto', 'Flat', 'IVF', 'HNSW32')),
    CONSTRAINT galleries_precision_check CHECK (precision IN ('fp16', 'fp32')),
    CONSTRAINT galleries_live_check CHECK (live >= 0)
) WITH (fillfactor = 50);  -- every commit updates the generation: leave room for it on the page

CREATE TABLE gallery_vectors (
    gallery_id bigint NOT NULL,
    id bigint NOT NULL,
    batch_id bigint NOT NULL,
    label text NOT NULL,
    external_id text,
    metadata jsonb,
    embedding bytea NOT NULL,
    CONSTRAINT gallery_vectors_pkey PRIMARY KEY (gallery_id, id)
) WITH (toast_tuple_target = 8160);  -- embeddings stay in the row: out of line costs twice the time
ALTER TABLE gallery_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;  -- they do not compress
CREATE INDEX gallery_vectors_gallery_id_label_idx ON gallery_vectors (gallery_id, label);
CREATE INDEX gallery_vectors_gallery_id_external_id_idx ON gallery_vectors (gallery_id, external_id)
    WHERE external_id IS NOT NULL;

CREATE TABLE gallery_operations (
    batch_id bigint NOT NULL,
    gallery_id bigint NOT NULL,
    operation_id text NOT NULL,
    kind text NOT NULL,
    generation bigint NOT NULL,
    request_digest bytea NOT NULL,
    rows bigint NOT NULL,
    first_id bigint,
    last_id bigint,
    ids bigint[],
    segments uuid[],
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verified_at timestamptz,
    CONSTRAINT gallery_operations_pkey PRIMARY KEY (batch_id),
    CONSTRAINT gallery_operations_gallery_id_operation_id_key UNIQUE (gallery_id, operation_id),
    CONSTRAINT gallery_operations_gallery_id_generation_key UNIQUE (gallery_id, generation),
    CONSTRAINT gallery_operations_kind_check CHECK (kind IN ('append', 'remove'))
);

CREATE TABLE gallery_tombstones (
    gallery_id bigint NOT NULL,
    id bigint NOT NULL,
    appended_generation bigint NOT NULL,
    generation bigint NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT gallery_tombstones_pkey PRIMARY KEY (gallery_id, id)
);
CREATE INDEX gallery_tombstones_gallery_id_generation_idx ON gallery_tombstones (gallery_id, generation);

CREATE TABLE gallery_segments (
    id uuid NOT NULL,
    gallery_id bigint NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    state text NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    kind text NOT NULL DEFAULT '',
    file text,
    bytes bigint NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '',
    recall real,
    damaged boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT gallery_segments_pkey PRIMARY KEY (id),
    CONSTRAINT gallery_segments_state_check CHECK (state IN ('building', 'live', 'dropped', 'deleted')),
    CONSTRAINT gallery_segments_interval_check CHECK (low < high)
);
CREATE INDEX gallery_segments_gallery_id_state_idx ON gallery_segments (gallery_id, state);
"""

_DOWN = """
DROP TABLE gallery_segments, gallery_tombstones, gallery_operations, gallery_vectors, galleries;
DROP SEQUENCE gallery_batch_ids;
DROP SEQUENCE gallery_vector_ids;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(_UP)


def downgrade() -> None:
    """Drop the tables and all galleries."""
    op.execute(_DOWN)
