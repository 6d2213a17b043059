"""Our messages against those of a plain Celery producer, in a real broker."""

import base64
import json
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from paddlewheel.contracts.base import Priority
from paddlewheel.wire.messages import PRIORITIES, TaskMessage
from tests.conftest import RunningServer

REQUEST = {"image": {"blob": "sha256:" + "0" * 64, "input_path": "线.png"}, "model": "m"}
GENERATED = ("origin", "argsrepr", "delivery_tag", "reply_to")


def ours(priority: Priority) -> TaskMessage:
    return TaskMessage(
        id="d3b07384-d9a7-4c5f-8f5e-0a0f6c1f4a11",
        name="ocr.recognize",
        queue="gpu",
        request=REQUEST,
        priority=priority,
        enqueued_at=12.5,
        deadline=99.0,
    )


def celerys(url: str, priority: Priority) -> tuple[str, dict[str, Any]]:
    """The list that a Celery producer pushes to, and what it pushes."""
    redis = Redis.from_url(url)
    redis.flushdb()
    with Celery("plain", broker=url, set_as_current=False) as app:
        app.send_task(
            "ocr.recognize",
            args=[REQUEST],
            task_id=ours(priority).id,
            queue="gpu",
            priority=PRIORITIES[priority],
            headers={"deadline": 99.0, "enqueued_at": 12.5},
        )
    (key,) = [key for key in redis.keys("gpu*") if redis.type(key) == b"list"]
    message = json.loads(redis.lindex(key, 0) or "")
    redis.close()
    assert isinstance(key, bytes)
    return key.decode(), message


@pytest.mark.parametrize("priority", ["interactive", "bulk"])
def test_a_message_is_what_a_celery_producer_sends(valkey: RunningServer, priority: Priority) -> None:
    key, theirs = celerys(valkey.url, priority)
    mine = json.loads(ours(priority).encode())
    assert ours(priority).list_key == key
    for message in (mine, theirs):
        message["body"] = json.loads(base64.b64decode(message["body"]))
        for name in GENERATED:
            generated = message["headers"] if name in message["headers"] else message["properties"]
            assert isinstance(generated.pop(name), str)
    assert mine == theirs


def test_a_message_stays_small(valkey: RunningServer) -> None:
    del valkey
    long = {"image": {"blob": "sha256:" + "0" * 64, "input_path": "x" * 200, "expires_at": 1e10}}
    message = TaskMessage(
        id="d3b07384-d9a7-4c5f-8f5e-0a0f6c1f4a11",
        name="ocr.recognize",
        queue="gpu",
        request=long,
        priority="interactive",
        enqueued_at=1700000000.123456,
        deadline=1700000000.123456,
    )
    assert len(message.encode()) < 2000
