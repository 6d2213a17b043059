"""Taking messages from a real server: in one step, the most urgent first, none twice, none lost."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any
from unittest.mock import Mock

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from redis import Redis
from redis.exceptions import TimeoutError as NoReplyError

from job_store.dead_letter import DeadLetter, DeliveryAttempt
from job_store.dead_letter_outbox import BOX_KEY, DeadLetterOutbox
from job_store.dead_letter_outbox import UNREADABLE_KEY as UNREADABLE_LETTERS_KEY
from paddlewheel import RECOGNIZE_TEXT, Client, ImageRef, Priority
from paddlewheel.wire.messages import WAKE_KEY, WAKE_TOKENS, TaskMessage
from paddlewheel.wire.result_store import CANCEL_CHANNEL
from tests.conftest import RunningServer
from workers.consumer.cancellations import RedisCancellations
from workers.consumer.transport import LOOK_SECONDS, UNREADABLE_KEY

TRANSPORT = "workers.consumer.transport:Transport"
QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("one", "two")]
OPTIONS = {"visibility_timeout": 30, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}


@pytest.fixture
def redis(valkey: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as redis:
        redis.flushdb()
        yield redis
        redis.flushdb()


class Worker:
    """Takes messages as a worker's consumer does, and keeps them unacknowledged."""

    def __init__(self, url: str, *, prefetch: int = 0, **options: Any) -> None:
        self.connection = Connection(url, transport=TRANSPORT, transport_options={**OPTIONS, **options})
        self.channel: Any = self.connection.channel()
        self.taken: list[Any] = []
        consumer = Consumer(self.channel, QUEUES, on_message=self.taken.append, accept=["json"])
        if prefetch:
            consumer.qos(prefetch_count=prefetch)
        consumer.consume()
        self.consumer = consumer

    def take(self, count: int) -> list[str]:
        """The ids of all that it has, once these are so many."""
        deadline = time.monotonic() + 20
        while len(self.taken) < count:
            assert time.monotonic() < deadline, f"{len(self.taken)} of {count} messages came"
            self.look()
        return [message.headers["id"] for message in self.taken]

    def look(self) -> None:
        """Go round once."""
        with suppress(TimeoutError):
            self.connection.drain_events(timeout=2 * LOOK_SECONDS)


@pytest.fixture
def worker(redis: Redis, valkey: RunningServer) -> Iterator[Worker]:
    del redis
    worker = Worker(valkey.url)
    yield worker
    worker.connection.close()


def message(task_id: str, queue: str = "one", priority: Priority = "interactive") -> TaskMessage:
    return TaskMessage(id=task_id, name="n", queue=queue, request={}, priority=priority, enqueued_at=0.0)


def push(redis: Redis, *messages: TaskMessage) -> None:
    for each in messages:
        redis.lpush(each.list_key, each.encode())


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_message_is_taken_and_noted_in_one_step(redis: Redis, worker: Worker) -> None:
    push(redis, message("a"))
    assert worker.take(1) == ["a"]
    tag = worker.taken[0].delivery_tag
    raw, exchange, route = json.loads(redis.hget("unacked", tag) or "")
    assert (raw["headers"]["id"], exchange, route) == ("a", "", "one")
    assert redis.zscore("unacked_index", tag) == pytest.approx(time.time(), abs=20)
    worker.taken[0].ack()
    assert not redis.exists("unacked", "unacked_index", "one")


def test_what_was_taken_and_never_read_goes_to_another_worker(
    redis: Redis, valkey: RunningServer, worker: Worker
) -> None:
    push(redis, message("a"))
    transport: Any = worker.connection.transport
    transport.cycle._register_BRPOP(worker.channel)
    wait_until(lambda: redis.hlen("unacked") == 1)  # and the worker never looks at the answer
    other = Worker(valkey.url)
    other.channel.qos.visibility_timeout = 0
    other.channel.qos.restore_visible(interval=1)
    assert other.take(1) == ["a"]
    assert worker.taken == []
    other.connection.close()


def test_urgent_messages_are_taken_first_from_every_queue(redis: Redis, worker: Worker) -> None:
    push(redis, *(message(f"bulk-{i}", queue, "bulk") for queue in ("one", "two") for i in range(3)))
    push(redis, *(message(f"now-{i}", queue) for queue in ("one", "two") for i in range(3)))
    taken = worker.take(12)
    assert sorted(taken[:6]) == sorted([f"now-{i}" for i in range(3)] * 2)
    assert next(name for name in taken if name.startswith("now")) == "now-0"


def test_a_queue_that_is_full_does_not_starve_another(redis: Redis, worker: Worker) -> None:
    push(redis, *(message(f"one-{i}") for i in range(20)), *(message(f"two-{i}", "two") for i in range(20)))
    taken = worker.take(40)
    assert {name.partition("-")[0] for name in taken[:4]} == {"one", "two"}
    assert len(set(taken)) == 40


def test_an_idle_worker_is_woken_by_a_token_and_looks_without_one(redis: Redis, worker: Worker) -> None:
    for _ in range(3):
        worker.look()
    push(redis, message("token"))
    redis.lpush(WAKE_KEY.format("one"), 1)
    assert worker.take(1) == ["token"]
    for _ in range(3):
        worker.look()
    push(redis, message("none"))
    assert worker.take(2) == ["token", "none"]
    worker.look()
    worker.look()
    assert not redis.exists(WAKE_KEY.format("one"))


def test_no_more_is_taken_than_there_is_credit_for(redis: Redis, valkey: RunningServer) -> None:
    worker = Worker(valkey.url, prefetch=2)
    push(redis, *(message(str(i)) for i in range(5)))
    worker.take(2)
    for _ in range(3):
        worker.look()
    assert len(worker.taken) == redis.hlen("unacked") == 2
    assert redis.llen("one") == 3
    worker.taken[0].ack()
    assert worker.take(3) == ["0", "1", "2"]
    worker.connection.close()


@pytest.mark.parametrize(
    "junk", [b"not json", b"[1]", b'{"properties": {}}', b'{"properties": {"delivery_info": {}}}']
)
def test_an_unreadable_message_is_set_aside_and_stops_nobody(
    redis: Redis, worker: Worker, junk: bytes
) -> None:
    redis.lpush("one", junk)
    push(redis, message("a"))
    assert worker.take(1) == ["a"]
    assert redis.lrange(UNREADABLE_KEY, 0, -1) == [junk]


def mutated(seed: int, count: int) -> list[bytes]:
    """Envelopes with the wrong value at a random place."""
    random = Random(seed)
    values = [
        "null",
        "[]",
        "{}",
        '"x"',
        "-1",
        "9" * 5000,
        '{"__type__": "datetime", "__value__": 1}',
        '"\\ud800"',
    ]
    envelopes = []
    for number in range(count):
        envelope = json.loads(message(f"bad-{number}").encode())
        part = random.choice([envelope, envelope["properties"], envelope["properties"]["delivery_info"]])
        part[random.choice(sorted(part))] = "MUTATED"
        envelopes.append(json.dumps(envelope).replace('"MUTATED"', random.choice(values)).encode())
    return envelopes


@pytest.mark.parametrize("seed", range(3))
def test_malformed_messages_do_not_end_the_transport(redis: Redis, worker: Worker, seed: int) -> None:
    bad = mutated(seed, 66)
    redis.lpush("one", *bad)
    push(redis, message("good"))
    deadline = time.monotonic() + 20
    while not (worker.taken and redis.llen("one") == 0):
        assert time.monotonic() < deadline
        worker.look()
    worker.look()
    assert isinstance(worker.taken[-1].headers, dict) and worker.taken[-1].headers["id"] == "good"
    aside = redis.lrange(UNREADABLE_KEY, 0, -1)
    assert aside and set(aside) <= set(bad)
    assert len(aside) + len(worker.taken) == len(bad) + 1
    kept = {each.delivery_tag.encode() for each in worker.taken}
    assert set(redis.hkeys("unacked")) == kept


def test_a_message_that_its_consumer_fails_on_is_set_aside(redis: Redis, worker: Worker) -> None:
    def fail_on_bad(given: Any) -> None:
        if given.headers["id"] == "bad":
            raise ValueError("timelimit")
        worker.taken.append(given)

    worker.consumer.on_message = fail_on_bad
    push(redis, message("bad"), message("good"))
    assert worker.take(1) == ["good"]
    assert redis.llen(UNREADABLE_KEY) == 1
    assert (
        redis.hlen("unacked")
        == redis.zcard("unacked_index")
        == len(worker.channel.qos._delivered) - len(worker.channel.qos._dirty)
    )
    assert redis.hlen("unacked") == 1


def test_a_worker_out_of_memory_leaves_the_message_to_another(redis: Redis, worker: Worker) -> None:
    def fail(_: Any) -> None:
        raise MemoryError

    worker.consumer.on_message = fail
    push(redis, message("good"))
    with pytest.raises(MemoryError):
        worker.take(1)
    assert redis.llen(UNREADABLE_KEY) == 0
    assert redis.hlen("unacked") == redis.zcard("unacked_index") == 1


def test_bytes_on_the_cancel_channel_do_not_end_its_listener(redis: Redis, valkey: RunningServer) -> None:
    cancellations = RedisCancellations(Redis.from_url(valkey.url))
    cancellations.register("a")
    wait_until(lambda: redis.pubsub_numsub(CANCEL_CHANNEL)[0][1] == 1)
    redis.publish(CANCEL_CHANNEL, b"\xff\xfe")
    redis.publish(CANCEL_CHANNEL, "a")
    wait_until(lambda: cancellations.is_cancelled("a"))
    cancellations.close()


def test_an_unreadable_dead_letter_is_set_aside_alone(redis: Redis) -> None:
    now = datetime.now(UTC)
    letter = DeadLetter(
        id="a" * 32,
        task_id="t",
        name="n",
        queue="q",
        request={},
        headers={},
        error_code="worker_lost",
        error_message="m",
        history=(DeliveryAttempt(letter="a" * 32, task_id="t", worker="w", at=now, reason="worker_lost"),),
        created_at=now,
    )
    outbox, store = DeadLetterOutbox(redis), Mock()
    redis.lpush(BOX_KEY, b"\xff")
    outbox.put(letter)
    assert outbox.waiting() == [letter]
    assert outbox.file_in(store) == 1
    store.file.assert_called_once_with([letter])
    assert redis.lrange(UNREADABLE_LETTERS_KEY, 0, -1) == [b"\xff"]
    assert redis.llen(BOX_KEY) == 0


def test_a_server_that_has_forgotten_the_script_is_given_it_again(redis: Redis, worker: Worker) -> None:
    push(redis, message("a"))
    worker.take(1)
    redis.script_flush()
    push(redis, message("b"))
    assert worker.take(2) == ["a", "b"]


def test_a_message_that_lay_unread_for_too_long_is_left_to_others(
    redis: Redis, valkey: RunningServer
) -> None:
    worker = Worker(valkey.url, visibility_timeout=60)
    push(redis, message("a"))
    began = worker.channel._brpop_start

    def long_ago(timeout: float | None = None) -> None:
        began(timeout)
        worker.channel._brpop_sent_at -= 40

    worker.channel._brpop_start = long_ago
    while not redis.hlen("unacked"):
        worker.look()
    worker.look()
    assert worker.taken == []
    worker.connection.close()


def test_replies_that_nobody_acknowledges_are_not_kept(redis: Redis, valkey: RunningServer) -> None:
    replies: list[Any] = []
    with Connection(valkey.url, transport=TRANSPORT) as connection:
        channel: Any = connection.channel()
        queue = Queue("replies", Exchange("replies"), routing_key="replies")
        Consumer(channel, [queue], callbacks=[lambda body, _: replies.append(body)], no_ack=True).consume()
        connection.Producer().publish({"ok": 1}, exchange="replies", routing_key="replies")
        deadline = time.monotonic() + 20
        while not replies:
            assert time.monotonic() < deadline
            connection.drain_events(timeout=5)
    assert replies == [{"ok": 1}]
    assert not redis.exists("unacked", "unacked_index")


def test_no_more_tokens_are_kept_than_workers_can_use(valkey: RunningServer, redis: Redis) -> None:
    with Client(valkey.url) as client:
        client.enqueue_many(RECOGNIZE_TEXT, [ImageRef(blob="sha256:" + "0" * 64)] * 1700)
    assert redis.llen("gpu\x06\x166") == 107
    assert redis.llen(WAKE_KEY.format("gpu")) == WAKE_TOKENS


def test_of_many_acknowledgements_to_a_server_that_hangs_one_is_waited_for(
    redis: Redis, valkey: RunningServer
) -> None:
    worker = Worker(valkey.url, socket_timeout=0.5)
    push(redis, message("a"), message("b"), message("c"))
    worker.take(3)
    with Redis.from_url(valkey.url) as another:
        another.client_pause(2500)
    took = []
    for each in worker.taken:
        began = time.monotonic()
        with pytest.raises(NoReplyError):
            each.ack()
        took.append(time.monotonic() - began)
    assert took[0] >= 0.5
    assert max(took[1:]) < 0.3
    wait_until(lambda: redis.zcard("unacked_index") == 3)  # answered once the server continues
    worker.connection.close()
    with Connection(valkey.url, transport=TRANSPORT) as renewed:
        channel: Any = renewed.channel()
        assert channel.silent_until == 0.0
