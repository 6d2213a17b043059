"""Migrations: once, however many start together, and the same tables as the schema says."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from database.migration import migrate
from database.pool import Database, sqlalchemy_url
from index_store.gallery import GallerySpec
from index_store.operation_log import OperationLog
from index_store.schema import METADATA
from paddlewheel.errors import DatabaseUnavailable, SchemaOutdated


def test_many_that_start_together_migrate_once(empty_database: Callable[[], str]) -> None:
    url = empty_database()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(migrate, [url] * 8))
    OperationLog(Database(url)).create("a", GallerySpec(dimension=4))
    migrate(url)


def test_the_migrations_make_what_the_schema_says(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        # The other store's tables are not its business.
        ours = {"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA) == []
        checks = inspect(connection).get_check_constraints("gallery_operations")
    assert [check["name"] for check in checks] == ["gallery_operations_kind_check"]
    engine.dispose()


@pytest.mark.parametrize(
    "asked", ["state <> 'deleted'", "state IN ('building', 'dropped')", "gallery_id = 1 AND state = 'live'"]
)
def test_questions_for_present_segments_leave_out_the_deleted_ones(database: Database, asked: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN SELECT id FROM gallery_segments WHERE {asked}")  # noqa: S608 - its own words
        plan = "".join(row[0] for row in cursor.fetchall())
    assert "gallery_segments_present_idx" in plan


def test_the_migrations_can_be_taken_back(empty_database: Callable[[], str]) -> None:
    url = empty_database()
    migrate(url)
    migrate(url, "base")
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()
    migrate(url)


def schema_of(url: str) -> dict[str, object]:
    """Every table's columns, indexes and checks, in an order that is the same for equal schemas."""
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        found = inspect(connection)
        tables = {
            name: (
                sorted(
                    f"{column['name']} {column['type']} {column['nullable']}"
                    for column in found.get_columns(name)
                ),
                sorted(str(index["name"]) for index in found.get_indexes(name)),
                sorted(str(check["name"]) for check in found.get_check_constraints(name)),
            )
            for name in found.get_table_names()
        }
    engine.dispose()
    return dict(tables)


@pytest.mark.parametrize(
    "older",
    [
        ("galleries_0001",),
        ("galleries_0002", "jobs_0001"),
        ("galleries_0003", "jobs_0002"),
        ("galleries_0003", "jobs_0004"),
    ],
)
def test_a_database_of_an_older_version_is_brought_up_to_date(
    empty_database: Callable[[], str], older: tuple[str, ...]
) -> None:
    fresh, old = empty_database(), empty_database()
    migrate(fresh)
    for revision in older:
        migrate(old, revision)
    migrate(old)
    assert schema_of(old) == schema_of(fresh)


def test_a_database_without_the_tables_says_what_to_do(empty_database: Callable[[], str]) -> None:
    database = Database(empty_database())
    with pytest.raises(SchemaOutdated, match="run the migrations"):
        OperationLog(database).create("a", GallerySpec(dimension=4))
    database.close()


def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable), database.cursor():
        pass
    with pytest.raises(DatabaseUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/none")
