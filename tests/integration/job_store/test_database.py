"""Connections are waited for a while, and the errors around them are typed."""

import threading
from contextlib import closing, suppress

import psycopg2
import pytest
from sqlalchemy import text

from database.locks import SessionLock
from database.migration import migrate
from database.pool import Database
from job_store.batch_jobs import BatchJobStore
from paddlewheel.errors import DatabaseUnavailable, SchemaOutdated
from tests.conftest import RunningServer


def test_a_pool_whose_connections_are_all_busy_is_a_database_that_is_away(postgres: RunningServer) -> None:
    database = Database(postgres.url, max_connections=1, pool_timeout=0.05)
    with database.session(), pytest.raises(DatabaseUnavailable, match="busy"), database.begin():
        pass
    with database.begin():
        pass
    database.close()


def test_a_database_that_lacks_a_column_has_to_be_migrated(empty_database: str) -> None:
    migrate(empty_database, "jobs_0004")
    database = Database(empty_database)
    with pytest.raises(SchemaOutdated, match="migrate"):
        BatchJobStore(database).active()
    database.close()


def test_a_transaction_replaces_connections_that_the_server_has_ended(empty_database: str) -> None:
    database = Database(empty_database)
    with database.begin() as connection, database.begin(), database.session():
        connection.execute(text("CREATE TABLE written (number integer)"))
    with closing(psycopg2.connect(empty_database)) as operator, operator.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    # All at once: the first to notice must not leave a dead connection to the next.
    with suppress(KeyError), database.begin() as connection:
        connection.execute(text("INSERT INTO written VALUES (1)"))
        raise KeyError
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM written")).scalar() == 0
    with database.cursor() as cursor:
        assert cursor.connection.autocommit
    database.close()


def test_a_lock_is_one_processes_until_it_is_given_back(postgres: RunningServer) -> None:
    database = Database(postgres.url)
    one, other = SessionLock(database, 7731), SessionLock(database, 7731)
    assert one.take()
    assert one.take()
    assert not other.take()
    one.release()
    assert other.take()
    other.release()
    database.close()


def test_giving_a_lock_back_does_not_wait_for_a_server_that_hangs(
    postgres: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("database.locks._RELEASE_SECONDS", 0.05)
    database = Database(postgres.url)
    lock = SessionLock(database, 7731)
    # As a thread does whose server does not answer.
    with lock._guard:
        giving_back = threading.Thread(target=lock.release)
        giving_back.start()
        giving_back.join(30)
        assert not giving_back.is_alive()
    database.close()
