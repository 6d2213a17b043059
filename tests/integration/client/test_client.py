"""Both clients against a real Valkey, with the worker's side of the protocol in a thread."""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, AsyncClient, Client, ImageRef, RecognizeText
from paddlewheel.errors import (
    BlobNotFound,
    BrokerUnavailable,
    InternalError,
    InvalidRequest,
    ModelUnknown,
    PaddlewheelError,
    ResultTimeout,
    TaskCancelled,
    TaskNotFound,
)
from tests.conftest import RunningServer
from tests.integration.client.answering import Answerer


@pytest.fixture
def url(valkey: RunningServer) -> Iterator[str]:
    """A database of the test's own, empty."""
    redis = Redis.from_url(valkey.url)
    redis.flushall()
    yield valkey.url
    redis.close()


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """The blob's address as the text; some models fail."""
    if "items" in request:
        return {"items": [_outcome(item) for item in request["items"]]}
    if request.get("model") == "unknown":
        raise ModelUnknown("no such model")
    if request.get("model") == "broken":
        raise ZeroDivisionError("division by zero")
    return {"rec_text": request["image"]["blob"], "rec_score": 0.5}


def _outcome(item: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": echo(item)}
    except PaddlewheelError as err:
        return {"error": {"code": err.code, "message": err.message}}


def test_a_result_is_typed_and_belongs_to_its_image(url: str) -> None:
    with Client(url) as client, Answerer(url, echo):
        refs = [client.put(bytes([i])) for i in range(20)]
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        assert [p.result(10).rec_text for p in pendings] == [ref.blob for ref in refs]


def test_many_are_one_pipeline_of_few_messages_and_come_back_in_order(url: str) -> None:
    with Client(url) as client, Answerer(url, echo) as worker:
        images = [b"image %d" % i for i in range(50)]
        pendings = client.enqueue_many(RECOGNIZE_TEXT, images)
        blobs = [p.image.blob for p in pendings]
        assert [p.result(10).rec_text for p in pendings] == blobs
        assert len(set(blobs)) == 50
    assert len(worker.taken) == 4
    assert {message["properties"]["priority"] for message in worker.taken} == {6}


def test_one_of_many_that_fails_does_not_fail_the_others(url: str) -> None:
    with Client(url) as client, Answerer(url, echo):
        ref = client.put(b"x")
        requests = [RecognizeText(image=ref, model=model) for model in (None, "unknown", None)]
        first, second, third = client.enqueue_many(RECOGNIZE_TEXT, requests)
        assert first.result(10) == third.result(10)
        with pytest.raises(ModelUnknown, match="no such model"):
            second.result(10)


def test_an_error_of_the_worker_is_the_same_error_here(url: str) -> None:
    with Client(url) as client, Answerer(url, echo):
        with pytest.raises(ModelUnknown, match="no such model"):
            client.enqueue(RECOGNIZE_TEXT, b"x", model="unknown").result(10)
        with pytest.raises(InternalError, match="ZeroDivisionError"):
            client.enqueue(RECOGNIZE_TEXT, b"x", model="broken").result(10)


def test_a_request_that_does_not_fit_its_contract_is_refused_before_it_is_sent(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(InvalidRequest, match="mode1"):
            client.enqueue(RECOGNIZE_TEXT, b"x", mode1="typo")
        with pytest.raises(InvalidRequest, match="ReadPages"):
            client.enqueue(READ_PAGES, RecognizeText(image=client.put(b"x")))  # type: ignore[misc]


def test_a_wait_that_is_too_short_can_be_repeated(url: str) -> None:
    with Client(url) as client:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        with pytest.raises(ResultTimeout):
            pending.result(0.05)
        assert not pending.done()
        with Answerer(url, echo):
            assert pending.result(10).rec_score == 0.5
        assert pending.done()


def test_the_same_idempotency_key_is_the_same_task(url: str) -> None:
    with Client(url) as client, Answerer(url, echo) as worker:
        one = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="order 7")
        two = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="order 7")
        other = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="order 8")
        assert one.task_id == two.task_id != other.task_id
        assert one.result(10) == two.result(10) == other.result(10)
    assert len(worker.taken) == 2


def test_status_knows_queued_done_failed_and_unknown(url: str) -> None:
    with Client(url) as client:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        failing = client.enqueue(RECOGNIZE_TEXT, b"x", model="unknown")
        queued = client.status(pending.task_id)
        assert (queued.state, queued.name) == ("queued", "ocr.recognize")
        assert queued.enqueued_at is not None
        with Answerer(url, echo):
            pending.result(10)
            with pytest.raises(ModelUnknown):
                failing.result(10)
        assert client.status(pending.task_id).state == "succeeded"
        failed = client.status(failing.task_id)
        assert failed.state == "failed"
        assert failed.error is not None
        assert failed.error.code == "model_unknown"
        with pytest.raises(TaskNotFound):
            client.status("no such task")


def test_a_task_can_be_waited_for_from_elsewhere_by_its_id(url: str) -> None:
    with Client(url) as sender, Client(url) as reader, Answerer(url, echo):
        sent = sender.enqueue(RECOGNIZE_TEXT, b"x")
        assert reader.pending(RECOGNIZE_TEXT, sent.task_id).result(10) == sent.result(10)


def test_cancelling_tells_the_workers_and_refuses_unknown_ids(url: str) -> None:
    with Client(url) as client, Redis.from_url(url) as redis:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        pending.cancel()
        assert redis.exists(f"paddlewheel:cancelled:{pending.task_id}")
        with pytest.raises(TaskNotFound):
            client.cancel("no such task")


def test_a_cancelled_task_is_cancelled_for_its_caller(url: str) -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise TaskCancelled(f"{request['image']['blob']} was cancelled")

    with Client(url) as client, Answerer(url, refuse):
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        with pytest.raises(TaskCancelled):
            pending.result(10)
        assert pending.status().state == "cancelled"


def test_as_completed_yields_every_pending_once(url: str) -> None:
    with Client(url) as client, Answerer(url, echo):
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [b"%d" % i for i in range(40)])
        seen = list(client.as_completed(pendings, timeout=10))
        assert {id(p) for p in seen} == {id(p) for p in pendings}
        assert all(p.done() for p in seen)


def test_as_completed_says_how_many_are_missing(url: str) -> None:
    with Client(url) as client:
        pendings = [client.enqueue(RECOGNIZE_TEXT, b"x") for _ in range(3)]
        with pytest.raises(ResultTimeout, match="3 tasks"):
            list(client.as_completed(pendings, timeout=0.05))


def test_many_threads_share_one_client(url: str) -> None:
    answers: dict[int, bool] = {}

    def ask(number: int) -> None:
        pending = client.enqueue(RECOGNIZE_TEXT, b"thread %d" % number)
        answers[number] = pending.result(20).rec_text == pending.image.blob

    with Client(url) as client, Answerer(url, echo), Redis.from_url(url) as redis:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        subscribers = [each for each in redis.client_list() if int(each["sub"])]
    assert answers == dict.fromkeys(range(24), True)
    assert len(subscribers) == 1


def test_a_forked_child_gets_a_client_of_its_own(url: str) -> None:
    with Client(url) as client, Answerer(url, echo):
        assert client.enqueue(RECOGNIZE_TEXT, b"x").result(10)
        child = os.fork()
        if child == 0:
            try:
                ok = client.enqueue(RECOGNIZE_TEXT, b"y").result(10).rec_score == 0.5
            finally:
                os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert client.enqueue(RECOGNIZE_TEXT, b"z").result(10)


def test_a_client_can_be_closed_right_after_any_answer(url: str) -> None:
    with Answerer(url, echo):
        for number in range(40):
            with Client(url) as client:
                pending = client.enqueue(RECOGNIZE_TEXT, b"%d" % number)
                if number % 2:
                    assert pending.result(10).rec_score == 0.5


def test_results_may_live_on_another_server_than_tasks(url: str) -> None:
    with Client(url, result_url=f"{url.rsplit('/', 1)[0]}/5") as client:
        one = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="k")
        two = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="k")
        assert one.task_id == two.task_id
        assert client.status(one.task_id).state == "queued"
        with Redis.from_url(url) as redis:
            assert redis.llen("gpu") == 1


def test_a_broker_that_is_away_is_a_typed_error() -> None:
    with Client("redis://127.0.0.1:1/0", blob_url="memory://") as client:
        ref = ImageRef(blob="sha256:" + "0" * 64)
        with pytest.raises(BrokerUnavailable):
            client.enqueue(RECOGNIZE_TEXT, ref)


def test_a_picture_that_has_gone_is_a_typed_error(url: str) -> None:
    with Client(url) as client, pytest.raises(BlobNotFound):
        client._async.blobs.get(ImageRef(blob="sha256:" + "0" * 64))


def test_a_lost_announcement_is_made_up_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddlewheel.wire.waiting.RE_READ_INTERVAL", 0.1)
    with Client(url) as client, Redis.from_url(url) as redis:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        with pytest.raises(ResultTimeout):
            pending.result(0.05)
        waiter = threading.Thread(target=lambda: pending.result(10))
        waiter.start()
        for each in redis.client_list(_type="pubsub"):
            redis.client_kill_filter(_id=each["id"])
        record = '{"task_id":"%s","status":"SUCCESS","result":{"rec_text":"a","rec_score":1}}'
        redis.set(f"celery-task-meta-{pending.task_id}", record % pending.task_id)
        waiter.join(10)
        assert not waiter.is_alive()
        assert pending.result(1).rec_text == "a"


async def test_the_asyncio_client_waits_for_hundreds_without_a_thread_each(url: str) -> None:
    async with AsyncClient(url) as client:
        refs = await client.put_many([b"%d" % i for i in range(10)])
        pendings = [await client.enqueue(RECOGNIZE_TEXT, refs[i % 10]) for i in range(300)]
        waits = [asyncio.create_task(pending.result(20)) for pending in pendings]
        await asyncio.sleep(0)
        threads = threading.active_count()
        with Answerer(url, echo):
            results = await asyncio.gather(*waits)
        assert [r.rec_text for r in results] == [refs[i % 10].blob for i in range(300)]
        assert threads < 40


async def test_the_asyncio_client_yields_what_is_done_first(url: str) -> None:
    async with AsyncClient(url) as client:
        with Answerer(url, echo):
            pendings = await client.enqueue_many(RECOGNIZE_TEXT, [b"a", b"b", b"c"])
            seen = [pending async for pending in client.as_completed(pendings, timeout=10)]
            assert {id(p) for p in seen} == {id(p) for p in pendings}
            for pending in seen:
                assert (await pending.result()).rec_score == 0.5
