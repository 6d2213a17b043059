"""Bring a database's tables up to date, once, however many processes start together."""

import os
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api_client.errors import DatabaseUnavailable
from index_store.database import sqlalchemy_url

_LOCK = 0x5061646477686C01  # any constant that nothing else in the database locks
_HERE = Path(__file__).parent


def migrate(url: str, revision: str = "heads") -> None:
    """Bring the tables of every store up to date: one history, in which each store has its branch.

    Run the missing migrations in one transaction under an advisory lock; others wait for it.
    """
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations"))
    config.set_main_option("path_separator", "os")
    # Found by their place: the stores share a database and know nothing of each other.
    versions = sorted(_HERE.parent.glob("*_store/migrations/versions"))
    config.set_main_option("version_locations", os.pathsep.join(map(str, versions)))
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
