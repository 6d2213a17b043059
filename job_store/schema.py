"""The tables.

dead_letters   requests that no worker could answer, one row for all that are alike and still open
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("history", JSONB, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("occurrences", Integer, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False, server_default=text("'dead'")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("filed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("replayed_at", DateTime(timezone=True)),
    Column("replay_task_id", Text),
    Column("discarded_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('dead', 'replayed', 'discarded')", name="state"),
    CheckConstraint("(state = 'replayed') = (replay_task_id IS NOT NULL)", name="replay"),
)
Index(
    "dead_letters_fingerprint_key",
    DEAD_LETTERS.c.fingerprint,
    unique=True,
    postgresql_where=text("state = 'dead'"),
)
Index("dead_letters_state_number_idx", DEAD_LETTERS.c.state, DEAD_LETTERS.c.number)
Index("dead_letters_history_idx", DEAD_LETTERS.c.history, postgresql_using="gin")
