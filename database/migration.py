"""Bring a database's tables up to date, once, however many processes start together."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from database.locks import LockName, lock_transaction
from database.pool import CONNECTION_OPTIONS, sqlalchemy_url
from paddlewheel.errors import ConfigurationError, DatabaseUnavailable, InternalError

_HERE = Path(__file__).parent


def migrate(url: str, revision: str = "heads") -> None:
    """Bring the tables of every store up to date: one history, in which each store has its branch.

    Run the missing migrations in one transaction under an advisory lock; others wait for it. Raises
    DatabaseUnavailable, and ConfigurationError for a user without the rights or tables of a newer version.
    """
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool, connect_args=CONNECTION_OPTIONS)
    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations"))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            lock_transaction(connection, LockName.MIGRATION)
            config.attributes["connection"] = connection
            if revision == "base":
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sqlalchemy.exc.OperationalError as err:
        raise DatabaseUnavailable(f"The database cannot be migrated: {err.orig}") from err
    except sqlalchemy.exc.DBAPIError as err:
        line = str(err.orig).strip().partition("\n")[0]
        if not isinstance(err.orig, InsufficientPrivilege):
            raise InternalError(f"The database refused a migration: {line}.") from err
        raise ConfigurationError(
            f"The database's user may not migrate it ({line}): run 'paddlewheel gallery maintenance migrate' "
            "as the owner of its tables, or grant this user the rights."
        ) from err
    except CommandError as err:
        raise ConfigurationError(
            f"The database has tables of another version of Paddlewheel, probably a newer one ({err}): "
            "use that version, or another database."
        ) from err
