"""A migrated database and an empty result store, from the session's servers."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from redis import Redis

import job_store.batch_schema
import job_store.http_schema  # noqa: F401 - its tables belong to the metadata
from database.migration import migrate
from database.pool import Database
from job_store.dead_letter import DeadLetter, DeliveryAttempt
from job_store.dead_letter_outbox import BOX_KEY, DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from tests.conftest import RunningServer

MakeLetter = Callable[..., DeadLetter]


@pytest.fixture(scope="session")
def make_database(postgres: RunningServer) -> Callable[[], str]:
    """Makes databases without tables on the session's server; each call returns a URL."""

    def make() -> str:
        name = f"jobs_{uuid.uuid4().hex[:8]}"
        connection = psycopg2.connect(postgres.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return f"{postgres.url.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture
def empty_database(make_database: Callable[[], str]) -> str:
    """A database of the test's own, without tables."""
    return make_database()


@pytest.fixture(scope="session")
def shared_database(make_database: Callable[[], str]) -> str:
    """A migrated database."""
    url = make_database()
    migrate(url)
    return url


@pytest.fixture
def database_url(shared_database: str) -> str:
    """A migrated database without letters."""
    with psycopg2.connect(shared_database) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE dead_letters RESTART IDENTITY")
    connection.close()
    return shared_database


@pytest.fixture
def letters(database_url: str) -> Iterator[DeadLetterStore]:
    database = Database(database_url)
    yield DeadLetterStore(database)
    database.close()


@pytest.fixture
def box(valkey: RunningServer) -> Iterator[DeadLetterOutbox]:
    with Redis.from_url(valkey.url) as redis:
        redis.delete(BOX_KEY)
        yield DeadLetterOutbox(redis)
        redis.delete(BOX_KEY)


@pytest.fixture
def letter() -> MakeLetter:
    def make(task_id: str = "t", *, blob: str = "0", **fields: Any) -> DeadLetter:
        found = uuid.uuid4().hex
        now = datetime.now(UTC)
        given: dict[str, Any] = {
            "id": found,
            "task_id": task_id,
            "name": "ocr.recognize",
            "queue": "gpu",
            "request": {"image": {"blob": f"sha256:{blob * 64}", "input_path": task_id}},
            "headers": {"priority": "interactive"},
            "error_code": "model_crashed",
            "error_message": "The process died.",
            "history": [
                DeliveryAttempt(letter=found, task_id=task_id, worker="w", at=now, reason="model_crashed")
            ],
            "created_at": now,
        }
        return DeadLetter(**{**given, **fields})

    return make
