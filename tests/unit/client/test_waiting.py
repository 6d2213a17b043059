"""The subscription that serves every waiter, over a connection that misbehaves."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostConnection

from paddlewheel.errors import BrokerUnavailable, InternalError
from paddlewheel.wire.result_store import RESULT_KEY
from paddlewheel.wire.waiting import ResultReader

KEY = RESULT_KEY.format("t").encode()


class FakeConnection:
    is_connected = True

    async def disconnect(self, nowait: bool = False) -> None:
        del nowait
        self.is_connected = False


class FakePubSub:
    """Loses its connection in so many commands, as a server does that restarts again and again."""

    def __init__(self, losses: Counter[str]) -> None:
        self.losses = losses
        self.connection: FakeConnection | None = None
        self.channels: set[bytes] = set()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()

    async def connect(self) -> None:
        self._lose("connect")
        self.connection = FakeConnection()
        self._confirm(self.channels)

    async def subscribe(self, *channels: str | bytes) -> None:
        self._lose("subscribe")
        self.channels |= set(map(_in_bytes, channels))
        self._confirm(set(map(_in_bytes, channels)))

    async def unsubscribe(self, *channels: str | bytes) -> None:
        self._lose("unsubscribe")
        self.channels -= set(map(_in_bytes, channels))

    async def get_message(self, timeout: float) -> Any:
        del timeout
        self._lose("get_message")
        message = await self.messages.get()
        if message == "lost":
            raise LostConnection("Connection closed by server.")
        return message

    async def aclose(self) -> None:
        """Nothing is open."""

    def announce(self, record: bytes) -> None:
        self.messages.put_nowait({"type": "message", "channel": KEY, "data": record})

    def _confirm(self, channels: set[bytes]) -> None:
        for channel in channels:
            self.messages.put_nowait({"type": "subscribe", "channel": channel, "data": 1})

    def _lose(self, command: str) -> None:
        if self.losses[command]:
            self.losses[command] -= 1
            if self.connection is not None:
                self.connection.is_connected = False
                self.messages.put_nowait("lost")
            raise LostConnection("Connection reset by peer")


def _in_bytes(channel: str | bytes) -> bytes:
    return channel if isinstance(channel, bytes) else channel.encode()


class FakeRedis:
    def __init__(self, **losses: int) -> None:
        self.lost = FakePubSub(Counter(losses))
        self.records: dict[bytes, bytes] = {}

    def pubsub(self) -> FakePubSub:
        return self.lost

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.records.get(key.encode()) for key in keys]


def record() -> bytes:
    return json.dumps({"task_id": "t", "status": "SUCCESS", "result": {"rec_text": "seven"}}).encode()


def reader_of(redis: FakeRedis) -> ResultReader:
    return ResultReader(redis, redis)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddlewheel.wire.subscription.RECONNECT_PAUSE", 0.0)


@pytest.mark.parametrize("command", ["connect", "subscribe", "get_message"])
async def test_a_connection_that_is_lost_meanwhile_costs_no_answer(command: str) -> None:
    redis = FakeRedis(**{command: 3})
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.announce(record())
    assert (await asyncio.wait_for(waiting, 10)).payload == {"rec_text": "seven"}
    assert KEY not in redis.lost.channels
    await reader.close()


async def test_what_was_answered_while_the_connection_was_lost_is_read_when_it_is_back() -> None:
    redis = FakeRedis()
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.records[KEY] = record()
    redis.lost.messages.put_nowait("lost")
    assert (await asyncio.wait_for(waiting, 10)).payload == {"rec_text": "seven"}
    await reader.close()


async def test_what_nobody_waits_for_any_more_is_given_up_when_the_connection_is_back() -> None:
    redis = FakeRedis()
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.losses["connect"] = 3
    redis.lost.messages.put_nowait("lost")
    while redis.lost.losses["connect"] > 1:
        await asyncio.sleep(0)
    waiting.cancel()
    while KEY in redis.lost.channels:
        await asyncio.sleep(0)
    assert waiting.cancelled()
    await reader.close()


async def test_a_connection_that_stays_lost_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddlewheel.wire.subscription.CONNECT_PATIENCE", 0.05)
    reader = reader_of(FakeRedis(connect=10**9))
    with pytest.raises(BrokerUnavailable, match=r"no connection within 0\.05 s\. .*Connection reset by peer"):
        await reader.wait("t")
    await reader.close()


async def test_a_server_that_refuses_subscriptions_still_answers() -> None:
    redis = FakeRedis(get_message=10**9)
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.records[KEY] = record()
    assert (await asyncio.wait_for(waiting, 10)).payload == {"rec_text": "seven"}
    await reader.close()


@pytest.mark.parametrize(
    "raw", [b"no json", b"{}", b'{"task_id": "t", "status": "FAILURE", "result": 7}', b"[]"]
)
async def test_a_record_that_is_no_result_is_its_waiters_error_alone(raw: bytes) -> None:
    redis = FakeRedis()
    reader = reader_of(redis)
    other = asyncio.create_task(reader.wait("other"))
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.announce(raw)
    err = (await asyncio.wait_for(waiting, 10)).error()
    assert isinstance(err, InternalError)
    assert "is not a result" in str(err)
    redis.records[RESULT_KEY.format("other").encode()] = record()
    redis.lost.messages.put_nowait("lost")
    assert (await asyncio.wait_for(other, 10)).payload == {"rec_text": "seven"}
    await reader.close()


async def test_a_listener_that_ends_fails_its_waiters_and_the_next_waiter_starts_another() -> None:
    redis = FakeRedis()
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.messages.put_nowait({"kind": "unknown"})
    with pytest.raises(InternalError, match="Waiting for results ended: KeyError"):
        await asyncio.wait_for(waiting, 10)
    redis.records[KEY] = record()
    assert (await asyncio.wait_for(reader.wait("t"), 10)).payload == {"rec_text": "seven"}
    await reader.close()


async def test_a_second_waiter_is_subscribed_when_the_first_gives_up_before_it_was() -> None:
    redis = FakeRedis(connect=10**9)
    reader = reader_of(redis)
    first = asyncio.create_task(reader.wait("t"))
    second = asyncio.create_task(reader.wait("t"))
    while redis.lost.losses["connect"] > 10**9 - 3:
        await asyncio.sleep(0)
    first.cancel()
    redis.lost.losses["connect"] = 0
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.announce(record())
    assert (await asyncio.wait_for(second, 10)).payload == {"rec_text": "seven"}
    assert first.cancelled()
    await reader.close()


async def test_closing_cancels_who_waits() -> None:
    redis = FakeRedis()
    reader = reader_of(redis)
    waiting = asyncio.create_task(reader.wait("t"))
    while KEY not in redis.lost.channels:
        await asyncio.sleep(0)
    await reader.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
