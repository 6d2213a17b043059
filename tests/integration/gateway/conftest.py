"""Gateways in this process, before the session's real Valkey and a database of the test's own; no worker."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import psycopg2
import pytest
from redis import Redis

from database.migration import migrate
from database.pool import Database
from gateway.app import create_app
from gateway.settings import GatewaySettings
from tests.conftest import RunningServer

OpenGateway = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="module")
def gateway_database(postgres: RunningServer) -> str:
    """A migrated database."""
    name = f"gateway_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(postgres.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    url = f"{postgres.url.rpartition('/')[0]}/{name}"
    migrate(url)
    return url


@pytest.fixture
def broker(valkey: RunningServer) -> Redis:
    """The empty broker."""
    redis = Redis.from_url(valkey.url)
    redis.flushdb()
    return redis


@pytest.fixture
def settings(valkey: RunningServer, gateway_database: str) -> dict[str, Any]:
    """Everything allowed to everybody."""
    return {
        "broker_url": valkey.url,
        "database_url": gateway_database,
        "gateway_anonymous_scopes": "tasks,galleries:read,galleries:write,jobs,metrics",
        "gateway_sweep_interval": 0.1,
        "gateway_timeout": 5,
    }


@pytest.fixture
def open_gateway(settings: dict[str, Any], broker: Redis) -> OpenGateway:
    """Open a gateway whose settings differ by the arguments; what is yielded asks it."""
    del broker
    database = Database(settings["database_url"])
    with database.session() as connection:
        # Fails the test if another connection holds a lock indefinitely.
        connection.exec_driver_sql("SET lock_timeout = '30s'")
        # Not TRUNCATE, which would wait for whatever a gateway that is being closed still asks.
        for table in ("webhook_deliveries", "jobs", "http_operations", "http_indexes"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    database.close()

    @asynccontextmanager
    async def open_one(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(GatewaySettings(**{**settings, **changes}))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            yield client

    return open_one
