"""Result records on a real server: whole, announced, and never worse than the success before them."""

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from paddlewheel.errors import ImageEmpty
from paddlewheel.wire.result_store import RESULT_KEY, TaskRecord, queued_record
from tests.conftest import RunningServer
from workers.consumer.result_store import ResultStore


@pytest.fixture
def redis(valkey: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as redis:
        yield redis


@pytest.fixture
def store(valkey: RunningServer) -> ResultStore:
    app = Celery("results", backend=f"workers.consumer.result_store.ResultStore+{valkey.url}")
    app.conf.update(result_expires=600, result_serializer="json", accept_content=["json"])
    found = app.backend
    assert isinstance(found, ResultStore)
    return found


@pytest.fixture
def task_id() -> str:
    return uuid.uuid4().hex


REQUEST: Any = SimpleNamespace(
    task="ocr.recognize", headers={"enqueued_at": 12.5}, args=None, kwargs=None, retries=0, delivery_info=None
)


def record(redis: Redis, task_id: str) -> TaskRecord:
    raw = redis.get(RESULT_KEY.format(task_id))
    assert isinstance(raw, bytes)
    return TaskRecord.parse(raw)


def test_a_record_says_what_a_status_needs_and_expires(
    redis: Redis, store: ResultStore, task_id: str
) -> None:
    redis.set(RESULT_KEY.format(task_id), queued_record(task_id, "ocr.recognize", 12.5))
    store.store_result(task_id, None, "STARTED", request=REQUEST)
    assert record(redis, task_id).state == "running"
    store.store_result(task_id, {"rec_text": "识别"}, "SUCCESS", request=REQUEST)
    found = record(redis, task_id)
    assert (found.state, found.name, found.enqueued_at) == ("succeeded", "ocr.recognize", 12.5)
    assert found.payload == {"rec_text": "识别"}
    assert 0 < int(redis.ttl(RESULT_KEY.format(task_id))) <= 600


def test_a_success_is_never_overwritten(redis: Redis, store: ResultStore, task_id: str) -> None:
    store.store_result(task_id, {"rec_text": "first"}, "SUCCESS", request=REQUEST)
    store.store_result(task_id, None, "STARTED", request=REQUEST)
    store.store_result(task_id, ImageEmpty("late"), "FAILURE", request=REQUEST)
    store.store_result(task_id, {"rec_text": "second"}, "SUCCESS", request=REQUEST)
    assert record(redis, task_id).payload == {"rec_text": "first"}


def test_a_failure_is_overwritten_by_a_later_try(redis: Redis, store: ResultStore, task_id: str) -> None:
    store.store_result(task_id, ImageEmpty("no bytes"), "FAILURE", request=REQUEST)
    assert isinstance(record(redis, task_id).error(), ImageEmpty)
    store.store_result(task_id, {"rec_text": "now"}, "SUCCESS", request=REQUEST)
    assert record(redis, task_id).state == "succeeded"


@pytest.mark.parametrize("garbage", ["", "no json", "[1]", '"SUCCESS"', '{"status": {}}'])
def test_a_value_that_is_not_a_record_is_overwritten(
    redis: Redis, store: ResultStore, task_id: str, garbage: str
) -> None:
    redis.set(RESULT_KEY.format(task_id), garbage)
    store.store_result(task_id, {"rec_text": "fine"}, "SUCCESS", request=REQUEST)
    assert record(redis, task_id).state == "succeeded"


def test_a_stored_result_is_announced_once_and_a_refused_one_is_not(
    redis: Redis, store: ResultStore, task_id: str
) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(RESULT_KEY.format(task_id))
        store.store_result(task_id, {"rec_text": "one"}, "SUCCESS", request=REQUEST)
        store.store_result(task_id, {"rec_text": "two"}, "SUCCESS", request=REQUEST)
        redis.publish(RESULT_KEY.format(task_id), "end")
        heard: list[bytes] = []
        while not heard or heard[-1] != b"end":
            message = channel.get_message(timeout=10)
            heard += [message["data"]] if message else []
    assert [json.loads(each)["result"] for each in heard[:-1]] == [{"rec_text": "one"}]
