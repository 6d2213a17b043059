"""Connections to a Redis-protocol server, and their errors as the client's own.

redis takes a third of a second to import, so it is imported with the first connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api_client.errors import BrokerUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis


def connect(url: str) -> "Redis":
    """An asyncio connection pool. A server that restarts is back in seconds; only then is a caller told."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialWithJitterBackoff

    return Redis.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries=6),
        health_check_interval=25,
        socket_keepalive=True,
        socket_connect_timeout=5,
    )


@contextmanager
def broker_errors() -> Iterator[None]:
    """Raise BrokerUnavailable for whatever the connection raises."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as err:
        raise BrokerUnavailable(f"The broker cannot be reached: {err}") from err
