"""The Postgres database under both stores: its pool, errors, clock, locks and migrations."""
