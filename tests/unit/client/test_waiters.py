"""The parts of the reader of results: who waits, what is to be read, how the connection stands."""

import asyncio
import json
from collections import Counter

import pytest

from paddlewheel.errors import BrokerUnavailable, InternalError
from paddlewheel.wire.subscription import State, Subscription
from paddlewheel.wire.waiters import Waiters
from paddlewheel.wire.waiting import ReadRequests
from tests.unit.client.test_waiting import FakeRedis

DONE = json.dumps({"task_id": "t", "status": "SUCCESS", "result": 7})
STARTED = json.dumps({"task_id": "t", "status": "STARTED", "result": None})


async def test_waiters_of_one_task_share_a_future_until_the_last_is_removed() -> None:
    waiters = Waiters()
    first, second = waiters.add(["t", "u"]), waiters.add(["t"])
    assert first["t"] is second["t"]
    assert waiters.remove(["t"]) == []
    assert waiters.remove(["t", "u"]) == ["t", "u"]
    assert waiters.ids() == []
    assert first["t"].cancelled()


async def test_only_a_finished_record_answers() -> None:
    waiters = Waiters()
    future = waiters.add(["t"])["t"]
    waiters.resolve("t", STARTED)
    assert waiters.outstanding() == ["t"]
    waiters.resolve("t", DONE)
    assert waiters.outstanding() == []
    assert waiters.ids() == ["t"]
    assert future.result().payload == 7
    waiters.resolve("nobody waits for this", DONE)


async def test_an_error_reaches_those_without_an_answer_alone() -> None:
    waiters = Waiters()
    futures = waiters.add(["t", "u", "v"])
    waiters.resolve("t", DONE)
    waiters.fail(lambda: InternalError("gone"))
    assert futures["t"].result().payload == 7
    assert str(futures["u"].exception()) == "gone"
    assert futures["u"].exception() is not futures["v"].exception()


async def test_a_record_is_read_once_however_often_it_is_asked_for() -> None:
    reads = ReadRequests()
    reads.add(["t", "u"])
    reads.add(["t"])
    assert await reads.take() == ["t", "u"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reads.take(), 0.01)


async def test_a_subscription_goes_from_closed_over_connecting_to_connected_and_back() -> None:
    redis = FakeRedis()
    subscription = Subscription(redis, wanted=list)  # type: ignore[arg-type]
    states = [subscription.state]
    subscription.open()
    states.append(subscription.state)
    assert (await subscription.receive(1))["type"] == "subscribe"
    states.append(subscription.state)
    await subscription.subscribe("a")
    assert b"a" in redis.lost.channels
    subscription.lose(BrokerUnavailable("gone"))
    states.append(subscription.state)
    await subscription.receive(1)
    states.append(subscription.state)
    assert b"a" not in redis.lost.channels
    await subscription.close()
    there_and_back = [State.CONNECTING, State.CONNECTED]
    assert [*states, subscription.state] == [State.CLOSED, *there_and_back, *there_and_back, State.CLOSED]


async def test_a_write_that_costs_the_connection_waits_for_the_next_one() -> None:
    redis = FakeRedis()
    subscription = Subscription(redis, wanted=lambda: ["a"])  # type: ignore[arg-type]
    subscription.open()
    await subscription.receive(1)
    redis.lost.losses = Counter(subscribe=1)
    writing = asyncio.create_task(subscription.subscribe("a"))
    while subscription.state is State.CONNECTED:
        await asyncio.sleep(0)
    with pytest.raises(BrokerUnavailable):  # the listener notices only after it has reconnected
        await subscription.receive(1)
    await asyncio.wait_for(writing, 10)
    assert b"a" in redis.lost.channels
