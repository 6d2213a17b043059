"""The subscription that serves every waiter, over a connection that misbehaves."""

import asyncio
import json
from typing import Any

import pytest

from api_client.errors import BrokerUnavailable
from api_client.result_store import RESULT_KEY
from api_client.waiting import ResultReader


class LostPubSub:
    """Loses its writer in the middle of so many commands, as redis-py does while it connects anew."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.channels: set[str] = set()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()

    async def subscribe(self, *channels: str) -> None:
        self._lose()
        self.channels |= set(channels)

    async def unsubscribe(self, *channels: str) -> None:
        self._lose()
        self.channels -= set(channels)

    async def get_message(self, timeout: float) -> Any:
        del timeout
        self._lose()
        return await self.messages.get()

    async def aclose(self) -> None:
        """Nothing is open."""

    def _lose(self) -> None:
        if self.losses:
            self.losses -= 1
            raise AttributeError("'NoneType' object has no attribute 'writelines'")


class FakeRedis:
    def __init__(self, losses: int) -> None:
        self.lost = LostPubSub(losses)

    def pubsub(self, **_: object) -> LostPubSub:
        return self.lost

    async def mget(self, keys: list[str]) -> list[None]:
        return [None for _ in keys]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_client.waiting.RECONNECT_PAUSE", 0.0)


async def test_a_connection_that_is_made_anew_meanwhile_costs_no_answer() -> None:
    redis = FakeRedis(losses=3)
    reader = ResultReader(redis)  # type: ignore[arg-type]
    waiting = asyncio.create_task(reader.wait("t"))
    while RESULT_KEY.format("t") not in redis.lost.channels:
        await asyncio.sleep(0)
    redis.lost.losses = 2
    record = {"task_id": "t", "status": "SUCCESS", "result": {"rec_text": "seven"}}
    channel = RESULT_KEY.format("t")
    message = {"type": "message", "channel": channel.encode(), "data": json.dumps(record).encode()}
    redis.lost.messages.put_nowait(message)
    assert (await waiting).payload == {"rec_text": "seven"}
    assert RESULT_KEY.format("t") not in redis.lost.channels
    await reader.close()


async def test_a_connection_that_stays_lost_is_told() -> None:
    reader = ResultReader(FakeRedis(losses=99))  # type: ignore[arg-type]
    with pytest.raises(BrokerUnavailable, match="was lost"):
        await reader.wait("t")
    await reader.close()
