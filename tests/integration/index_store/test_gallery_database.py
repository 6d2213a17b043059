"""Connections and statements of Postgres, and what their errors say: what has to be done, and by whom."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812
from sqlalchemy import make_url

from database.migration import migrate
from database.pool import CONNECTION_OPTIONS, Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from paddlewheel.errors import ConfigurationError, DatabaseUnavailable, InternalError, SchemaOutdated
from tests.embeddings import random_embeddings

SPEC = GallerySpec(dimension=16)
ROWS = random_embeddings(3, 16)
LABELS = ["a", "b", "c"]


def process_of(database: Database) -> int:
    """The server's process behind the connection that is used next."""
    with database.connection() as connection:
        return connection.info.backend_pid


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def test_every_connection_notices_a_server_that_vanished_and_speaks_utf8(
    database_url: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, str]] = []
    connect = psycopg2.connect

    def noted(*arguments: Any, **options: Any) -> Connection:
        connection: Connection = connect(*arguments, **options)
        made.append(connection.info.dsn_parameters)
        return connection

    monkeypatch.setattr(psycopg2, "connect", noted)
    database = Database(database_url)
    store = GalleryStore(database, SegmentFolder(tmp_path))
    store.build(key, SPEC, ROWS, LABELS)
    store.search(key, ROWS)
    migrate(database_url)
    assert len(made) == 3  # for statements, for questions, for migrations
    for options in made:
        assert {name: options[name] for name in CONNECTION_OPTIONS} == {
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": "25000",
            "client_encoding": "utf8",
        }
    database.close()


def test_labels_are_found_in_a_database_of_another_encoding(
    empty_database: Callable[[], str], tmp_path: Path
) -> None:
    url = make_url(empty_database())
    latin = url.set(database=f"{url.database}_latin1").render_as_string(hide_password=False)
    execute(
        url.render_as_string(hide_password=False),
        f"CREATE DATABASE {url.database}_latin1 ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C'"
        " TEMPLATE template0",
    )
    migrate(latin)
    database = Database(latin)
    store = GalleryStore(database, SegmentFolder(tmp_path))
    ids = store.build("g", SPEC, ROWS, ["Zoë", "Noël", "c"], external_ids=["é", None, None]).ids
    assert [record.label for record in store.list_vectors("g")] == ["Zoë", "Noël", "c"]
    assert store.search_one("g", ROWS[1])[0].label == "Noël"
    assert store.remove("g", labels=["Noël"]).ids == (ids[1],)
    assert store.remove("g", external_ids=["é"]).ids == (ids[0],)
    database.close()


def test_a_cancelled_statement_is_reported_as_such_and_costs_no_connection(database_url: str) -> None:
    database = Database(f"{database_url}?options=-c%20statement_timeout%3D50")
    before = process_of(database)
    tried: list[int] = []

    def slow() -> None:
        tried.append(1)
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    with pytest.raises(DatabaseUnavailable, match="raise the database's statement_timeout, then repeat"):
        database.retrying(slow)
    assert len(tried) == 1
    asked = database.query("SELECT pg_sleep($1)", (60,))
    with pytest.raises(DatabaseUnavailable, match="could not do a statement"), asked as query:
        query.receive()
    assert process_of(database) == before
    database.close()


def test_a_deadlock_is_reported_as_such_and_repeatable_work_continues(database: Database) -> None:
    both_hold = threading.Barrier(2)
    tried: list[int] = []

    def work(first: int, second: int) -> None:
        tried.append(first)
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (first,))
            if len(tried) <= 2:
                both_hold.wait(60)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (second,))

    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(database.retrying, lambda: work(901, 902))]
        sent.append(pool.submit(database.retrying, lambda: work(902, 901)))
        for future in sent:
            future.result(60)
    assert len(tried) == 3

    def refused() -> None:
        with database.transaction() as cursor:
            cursor.execute("DO $$ BEGIN RAISE SQLSTATE '40P01' USING MESSAGE = 'deadlock detected'; END $$")

    with pytest.raises(DatabaseUnavailable, match=r"do a statement \(deadlock detected\): repeat the call"):
        database.retrying(refused)


@pytest.mark.parametrize(
    ("state", "message", "times"),
    [
        ("53100", "make room on the database's disk, then repeat the call", 1),
        ("53200", "more memory", 1),
        ("40001", "could not do a statement .*: repeat the call", 2),
        ("55P03", "could not do a statement .*: repeat the call", 2),
        ("57P01", "cannot be reached", 2),
        ("08006", "cannot be reached", 2),
    ],
)
def test_the_servers_error_decides_what_is_reported_and_whether_work_is_repeated(
    database: Database, state: str, message: str, times: int
) -> None:
    tried: list[int] = []

    def work() -> None:
        tried.append(1)
        with database.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{state}' USING MESSAGE = 'no'; END $$")

    with pytest.raises(DatabaseUnavailable, match=message):
        database.retrying(work)
    assert len(tried) == times


def test_a_connection_that_the_server_ended_is_replaced(database: Database) -> None:
    before = process_of(database)
    tried: list[int] = []

    def work() -> int:
        tried.append(1)
        with database.cursor() as cursor:
            if len(tried) == 1:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return process_of(database)

    assert database.retrying(work) != before
    with pytest.raises(InternalError, match="refused a statement"), database.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def test_a_store_that_was_opened_before_the_migrations_works_after_them(
    empty_database: Callable[[], str], tmp_path: Path
) -> None:
    url = empty_database()
    database = Database(url)
    store = GalleryStore(database, SegmentFolder(tmp_path))
    with pytest.raises(SchemaOutdated, match="run the migrations"):
        store.build("g", SPEC, ROWS, LABELS)
    migrate(url)
    assert len(store.build("g", SPEC, ROWS, LABELS).ids) == 3
    database.close()


def test_a_missing_column_is_reported_as_a_missing_migration(
    empty_database: Callable[[], str], tmp_path: Path
) -> None:
    url = empty_database()
    migrate(url)
    execute(url, "ALTER TABLE gallery_operations DROP COLUMN note")
    database = Database(url)
    store = GalleryStore(database, SegmentFolder(tmp_path))
    with pytest.raises(SchemaOutdated, match="paddlewheel gallery maintenance migrate"):
        store.build("g", SPEC, ROWS, LABELS)
    database.close()


def test_a_migration_without_the_rights_or_under_newer_tables_says_what_to_do(
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    user = str(make_url(url).database)
    execute(url, f"CREATE ROLE {user} LOGIN PASSWORD 'secret'")
    reader = make_url(url).set(username=user, password="secret").render_as_string(hide_password=False)
    with pytest.raises(ConfigurationError, match=r"may not migrate it.*as the owner"):
        migrate(reader)
    migrate(url)
    execute(url, "INSERT INTO alembic_version VALUES ('ffffffffffff')")
    with pytest.raises(ConfigurationError, match="newer"):
        migrate(url)
