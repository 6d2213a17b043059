"""Connections to a Redis-protocol server, and their errors as the client's own.

redis takes a third of a second to import, so it is imported with the first connection.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from paddlewheel.errors import AuthenticationFailed, BrokerUnavailable
from paddlewheel.server_errors import AUTHENTICATION_FAILED, server_words

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry


REPLY_SECONDS: Final = 5.0
"""Without a reply for so long, a connection counts as lost: the server hangs, or packets are dropped."""

_HEALTH_CHECK_SECONDS: Final = 25
_PROBES: Final = 2


def socket_options(url: str, timeout: float = REPLY_SECONDS) -> dict[str, Any]:
    """Keyword arguments of a Redis client that notices a server which is silent for `timeout` seconds."""
    options: dict[str, Any] = {"socket_timeout": timeout, "health_check_interval": _HEALTH_CHECK_SECONDS}
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = timeout
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = keepalive_options(timeout)
    return options


def keepalive_options(timeout: float) -> dict[int, int]:
    """TCP options that end even a connection which only listens, once the other side has vanished."""
    seconds = max(1, round(timeout))
    wanted = {
        "TCP_KEEPIDLE": seconds,
        "TCP_KEEPINTVL": seconds,
        "TCP_KEEPCNT": _PROBES,
        # What was sent and is never acknowledged; in milliseconds.
        "TCP_USER_TIMEOUT": (1 + _PROBES) * seconds * 1000,
    }
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def connect(url: str) -> "Redis":
    """An asyncio connection pool. It retries for seconds, so that a server may restart, and then raises."""
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialWithJitterBackoff

    return _connect(url, Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries=6))


def connect_once(url: str) -> "Redis":
    """The same without retries: for a subscription, whose owner decides when to reconnect."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # redis-py reconnects after an error that it supports even when no retry is left; others it raises.
    return _connect(url, Retry(NoBackoff(), retries=0, supported_errors=()))


def _connect(url: str, retry: "Retry") -> "Redis":
    from redis.asyncio import Redis

    plain = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    return Redis.from_url(plain, retry=retry, **socket_options(url))


@contextmanager
def broker_errors() -> Iterator[None]:
    """Raise BrokerUnavailable for what the connection raises, or AuthenticationFailed."""
    from redis.exceptions import AuthenticationError, RedisError

    try:
        yield
    except AuthenticationError as err:
        raise AuthenticationFailed(AUTHENTICATION_FAILED.format("broker")) from err
    except (RedisError, OSError) as err:
        raise BrokerUnavailable(f"The broker cannot be reached: {server_words(err)}") from err
