"""Alembic's entry: `database.migration` hands it a connection that already holds the lock."""

from alembic import context

from index_store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
