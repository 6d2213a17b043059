"""The counter of deliveries on a real server: several workers are several counters."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from job_store.dead_letter_outbox import BOX_KEY, DeadLetterOutbox
from paddlewheel.errors import ModelCrashed, WorkerLost
from tasks.delivery import Delivery
from tests.conftest import RunningServer
from workers.consumer.deliveries import DELIVERIES_KEY, DeliveryCounter

MakeWorker = Callable[..., DeliveryCounter]


@pytest.fixture
def redis(valkey: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as redis:
        redis.delete(BOX_KEY)
        yield redis
        redis.delete(BOX_KEY)


@pytest.fixture
def worker(redis: Redis) -> MakeWorker:
    def make(name: str = "w", most: int = 4) -> DeliveryCounter:
        return DeliveryCounter(redis, DeadLetterOutbox(redis), worker=name, max_deliveries=most)

    return make


@pytest.fixture
def delivery() -> Delivery:
    return Delivery(
        task_id=uuid.uuid4().hex, name="ocr.recognize", queue="gpu", request={"a": 1}, headers={"priority": 0}
    )


def lose(worker: DeliveryCounter, delivery: Delivery) -> None:
    """The worker begins the task and is never heard of again."""
    worker._begin(delivery.task_id, 100)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def count(redis: Redis, delivery: Delivery) -> int:
    return int(redis.hlen(DELIVERIES_KEY.format(delivery.task_id)))


def test_a_task_that_has_cost_too_many_workers_becomes_a_dead_letter(
    redis: Redis, worker: MakeWorker, delivery: Delivery
) -> None:
    for i in range(4):
        lose(worker(f"w-{i}"), delivery)
    with pytest.raises(WorkerLost, match="4 workers"), worker("w-4").track(delivery):
        pytest.fail("it was begun a fifth time")
    (letter,) = DeadLetterOutbox(redis).waiting()
    assert (letter.task_id, letter.name, letter.queue) == (delivery.task_id, "ocr.recognize", "gpu")
    assert (letter.request, letter.headers) == ({"a": 1}, {"priority": 0})
    assert letter.error_code == "worker_lost"
    assert [each.worker.partition("/")[0] for each in letter.history] == ["w-0", "w-1", "w-2", "w-3"]
    assert [each.at for each in letter.history] == sorted(each.at for each in letter.history)
    assert {each.reason for each in letter.history} == {"worker_lost"}
    assert count(redis, delivery) == 0


def test_the_budget_is_the_operators(worker: MakeWorker, delivery: Delivery) -> None:
    for _ in range(2):
        lose(worker(most=2), delivery)
    with pytest.raises(WorkerLost, match="2 workers"), worker(most=2).track(delivery):
        pytest.fail("it was begun a third time")


def test_a_task_that_ends_in_any_way_is_forgotten(
    redis: Redis, worker: MakeWorker, delivery: Delivery
) -> None:
    lose(worker(), delivery)
    here = worker()
    with pytest.raises(ValueError, match="failed"), here.track(delivery):
        assert count(redis, delivery) == 2
        raise ValueError("failed")
    assert count(redis, delivery) == 0
    with here.track(delivery):
        assert count(redis, delivery) == 1
    here.close()
    assert count(redis, delivery) == 0


def test_forgetting_travels_with_the_next_task(redis: Redis, worker: MakeWorker, delivery: Delivery) -> None:
    here = worker()
    with here.track(delivery):
        pass
    other = Delivery(task_id=uuid.uuid4().hex, name="n", queue="gpu", request={}, headers={})
    with here.track(other):
        assert count(redis, delivery) == 0
        assert count(redis, other) == 1


def test_what_a_worker_gives_back_does_not_count(
    redis: Redis, worker: MakeWorker, delivery: Delivery
) -> None:
    lose(worker(), delivery)
    stopped = worker()
    with stopped.track(delivery):
        assert count(redis, delivery) == 2
        stopped.close()
        assert count(redis, delivery) == 1


def test_a_worker_that_is_handed_the_same_task_twice_counts_once(
    redis: Redis, worker: MakeWorker, delivery: Delivery
) -> None:
    here = worker()
    with here.track(delivery), here.track(delivery):
        assert count(redis, delivery) == 1


def test_a_suspect_runs_alone_and_is_not_counted_while_it_waits(
    redis: Redis, worker: MakeWorker, delivery: Delivery
) -> None:
    for _ in range(2):
        lose(worker(), delivery)
    here, began = worker(), threading.Event()
    other = Delivery(task_id=uuid.uuid4().hex, name="n", queue="gpu", request={}, headers={})

    def run() -> None:
        with here.track(delivery):
            began.set()

    with here.track(other):
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: here._task_lock._exclusive_waiting == 1)
        assert not began.is_set()
        assert count(redis, delivery) == 2
    thread.join(20)
    assert began.is_set()


def test_the_first_two_losses_may_be_a_neighbours_fault(worker: MakeWorker, delivery: Delivery) -> None:
    lose(worker(), delivery)
    here = worker()
    other = Delivery(task_id=uuid.uuid4().hex, name="n", queue="gpu", request={}, headers={})
    with here.track(other), here.track(delivery):
        assert here._task_lock._sharing == 2


def test_a_counter_that_is_away_stops_nobody(delivery: Delivery, caplog: pytest.LogCaptureFixture) -> None:
    away = Redis.from_url("redis://127.0.0.1:1/0")
    here = DeliveryCounter(away, DeadLetterOutbox(away), worker="w", max_deliveries=2)
    with here.track(delivery):
        pass
    here.record_dead_letter(delivery, ModelCrashed("It died."))
    here.close()
    assert "cannot be counted" in caplog.text
    assert f'"task_id":"{delivery.task_id}"' in caplog.text
