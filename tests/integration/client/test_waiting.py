"""What waiting for many results costs a real Valkey, and what a lost subscription costs a waiter."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis

from paddlewheel.wire.connection import connect, connect_once
from paddlewheel.wire.result_store import RESULT_KEY
from paddlewheel.wire.waiting import ResultReader
from tests.conftest import RunningServer


@pytest.fixture
async def reader(valkey: RunningServer) -> AsyncIterator[ResultReader]:
    """A reader on connections of its own."""
    async with connect(valkey.url) as redis, connect_once(valkey.url) as subscriber:
        reader = ResultReader(redis, subscriber)
        yield reader
        await reader.close()


@pytest.fixture
def redis(valkey: RunningServer) -> Iterator["Redis"]:
    """A connection beside the reader's, to an empty database."""
    redis = Redis.from_url(valkey.url)
    redis.flushall()
    yield redis
    redis.close()


def record(number: int) -> bytes:
    return json.dumps({"task_id": f"t{number}", "status": "SUCCESS", "result": number}).encode()


def subscribers(redis: "Redis", key: str) -> int:
    found: list[tuple[bytes, int]] = redis.pubsub_numsub(key)  # type: ignore[assignment]
    return found[0][1]


def reads(redis: "Redis") -> int:
    stats: dict[str, dict[str, Any]] = redis.info("commandstats")
    return int(stats.get("cmdstat_mget", {"calls": 0})["calls"])


async def test_a_record_is_read_once_however_many_others_are_waited_for(
    reader: ResultReader, redis: "Redis"
) -> None:
    before = reads(redis)
    waiting = [asyncio.create_task(reader.wait(f"t{number}")) for number in range(50)]
    for number in range(50):
        while not subscribers(redis, RESULT_KEY.format(f"t{number}")):
            await asyncio.sleep(0.01)
    for number in range(50):
        redis.publish(RESULT_KEY.format(f"t{number}"), record(number))
    assert [each.payload for each in await asyncio.gather(*waiting)] == list(range(50))
    assert reads(redis) - before <= 50


async def test_what_was_announced_while_the_subscription_was_lost_is_read_at_once(
    reader: ResultReader, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paddlewheel.wire.waiting.RE_READ_INTERVAL", 3600.0)
    waiting = asyncio.create_task(reader.wait("t7"))
    key = RESULT_KEY.format("t7")
    while not subscribers(redis, key):
        await asyncio.sleep(0.01)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.client_kill_filter(_type="pubsub")
        pipeline.set(key, record(7))
        pipeline.execute()
    assert (await asyncio.wait_for(waiting, 30)).payload == 7
