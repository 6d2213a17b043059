from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.stack import LocalStack
from tests.conftest import RunningServer


def test_what_was_stored_is_there_after_a_stop_and_a_start(root: Path) -> None:
    for expected in (None, b"kept"):
        with (
            LocalStack(root, services={"valkey"}) as stack,
            redis.Redis.from_url(stack.servers.broker_url) as client,
        ):
            assert client.get("key") == expected
            client.set("key", "kept")


@pytest.mark.parametrize("password", [None, "a guess"])
def test_it_asks_for_the_password(valkey: RunningServer, password: str | None) -> None:
    port = urlsplit(valkey.url).port or 0
    once = Retry(NoBackoff(), 0)
    with (
        redis.Redis(port=port, password=password, retry=once) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_it_keeps_every_write_on_disk_and_evicts_nothing(valkey: RunningServer) -> None:
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    }
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in expected} == expected
