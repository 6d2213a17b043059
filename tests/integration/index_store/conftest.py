"""A migrated database and a store over it, from the session's Postgres server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from database.migration import migrate
from database.pool import Database
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.conftest import RunningServer


@pytest.fixture(scope="session")
def empty_database(postgres: RunningServer) -> Callable[[], str]:
    """Makes databases of their own on the session's server; each call returns a URL."""

    def make() -> str:
        name = f"galleries_{uuid.uuid4().hex[:8]}"
        connection = psycopg2.connect(postgres.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return f"{postgres.url.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(scope="session")
def database_url(empty_database: Callable[[], str]) -> str:
    """A migrated database, shared by the session: tests use galleries of their own."""
    url = empty_database()
    migrate(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


@pytest.fixture
def store(database: Database, folder: Path) -> GalleryStore:
    return GalleryStore(database, SegmentFolder(folder))


@pytest.fixture
def key() -> str:
    """A gallery key that no other test uses."""
    return f"g-{uuid.uuid4().hex[:12]}"
