"""Events are sent by the timer, together, and none is left behind when the worker stops."""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from workers.consumer.event_pacing import EventPacing


class FakeDispatcher:
    def __init__(self) -> None:
        self._group_buffer: dict[str, list[str]] = {"task": []}
        self.sent: list[list[str]] = []
        self.away = False
        self.on_send_buffered: Callable[[], None] = self.flush

    def send(self, event: str) -> None:
        self._group_buffer["task"].append(event)
        self.on_send_buffered()

    def flush(self) -> None:
        if self.away:
            raise RedisConnectionError("away")
        self.sent.append(self._group_buffer["task"][:])
        self._group_buffer["task"].clear()


class FakeConsumer:
    """A consumer, its loop's timer and the entry in it."""

    def __init__(self) -> None:
        self.hub = object()
        self.timer = self
        self.event_dispatcher: FakeDispatcher | None = FakeDispatcher()
        self.cancelled = False

    def call_repeatedly(self, seconds: float, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        assert 0 < seconds <= 1
        self.tick: Callable[[], Any] = lambda: work(*arguments)
        return self

    def cancel(self) -> None:
        self.cancelled = True

    def on_send_event_buffered(self) -> None:
        assert self.event_dispatcher is not None
        self.event_dispatcher.flush()


def started() -> tuple[Any, FakeConsumer, FakeDispatcher]:
    consumer = FakeConsumer()
    make: Any = EventPacing
    step = make(consumer)
    step.start(consumer)
    assert consumer.event_dispatcher is not None
    return step, consumer, consumer.event_dispatcher


def test_events_wait_for_the_timer_and_leave_together() -> None:
    _, consumer, dispatcher = started()
    dispatcher.send("received")
    dispatcher.send("started")
    assert dispatcher.sent == []
    consumer.tick()
    assert dispatcher.sent == [["received", "started"]]


def test_nothing_is_sent_while_nothing_happens() -> None:
    _, consumer, dispatcher = started()
    consumer.tick()
    assert dispatcher.sent == []


def test_remaining_events_are_sent_when_the_worker_stops_and_celery_takes_over() -> None:
    step, consumer, dispatcher = started()
    dispatcher.send("succeeded")
    step.stop(consumer)
    assert dispatcher.sent == [["succeeded"]]
    assert consumer.cancelled
    dispatcher.send("last")
    assert dispatcher.sent[-1] == ["last"]


def test_a_broker_that_is_away_keeps_the_events_for_later() -> None:
    _, consumer, dispatcher = started()
    dispatcher.send("received")
    dispatcher.away = True
    consumer.tick()
    dispatcher.away = False
    consumer.tick()
    assert dispatcher.sent == [["received"]]


def test_a_consumer_without_a_dispatcher_stops_quietly() -> None:
    step, consumer, dispatcher = started()
    dispatcher.send("received")
    consumer.event_dispatcher = None
    consumer.tick()
    step.stop(consumer)
    assert consumer.cancelled
