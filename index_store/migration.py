"""Bring a database's tables up to date, once, however many processes start together."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api_client.errors import DatabaseUnavailable
from index_store.database import sqlalchemy_url

_LOCK = 0x5061646477686C01  # any constant that nothing else in the database locks


def migrate(url: str, revision: str = "head") -> None:
    """Run the missing migrations in one transaction under an advisory lock; others wait for it."""
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            if revision == "base":
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sqlalchemy.exc.OperationalError as err:
        raise DatabaseUnavailable(f"The database cannot be migrated: {err.orig}") from err
