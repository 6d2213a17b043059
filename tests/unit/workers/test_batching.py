"""The batcher over a host that answers in this process."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from paddlewheel.errors import (
    DeadlineExceeded,
    ModelCrashed,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    TaskCancelled,
)
from tasks.context import TaskContext
from tests.doubling_host import DoublingHost
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.inference.host import HostLostError
from workers.inference.items import Answer
from workers.inference.lane import BatchOutput

TASK = TaskContext(task_id="t")


@contextmanager
def batcher(host: DoublingHost, **options: Any) -> Iterator[DynamicBatcher]:
    made = DynamicBatcher([host], BatchingOptions(**options))
    try:
        yield made
    finally:
        host.gate.set()
        made.close()


def tensor(value: float, width: int = 4) -> NDArray[np.float32]:
    return np.full((2, width), value, dtype=np.float32)


def value_of(future: "Future[Answer]") -> float:
    return float(future.result(10).outputs[0].flat[0])


@settings(deadline=None, max_examples=40)
@given(
    items=st.lists(st.tuples(st.integers(0, 999), st.integers(1, 5), st.sampled_from("ab")), max_size=40),
    size=st.integers(1, 9),
)
def test_every_item_gets_its_own_answer_whatever_its_companions(
    items: list[tuple[int, int, str]], size: int
) -> None:
    host = DoublingHost()
    with batcher(host, max_batch_size=size, max_wait_time=0.0) as under_test:
        futures = [under_test.submit(model, (tensor(value, width),), TASK) for value, width, model in items]
        answers = [future.result(10) for future in futures]
    for (value, width, _), answer in zip(items, answers, strict=True):
        assert answer.outputs[0].shape == (2, width)
        assert answer.outputs[0].flat[0] == 2 * value
        assert 1 <= answer.batch_size <= size
    assert sum(len(values) for _, values in host.batches) == len(items)


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    poison=st.sets(st.integers(0, 30), max_size=4),
    refused=st.sets(st.integers(0, 30), max_size=4),
)
def test_an_item_that_kills_or_fails_fails_alone(
    values: list[int], poison: set[int], refused: set[int]
) -> None:
    host = DoublingHost(poison=list(poison), refused=list(refused))
    with batcher(host, max_batch_size=8, max_wait_time=0.0) as under_test:
        futures = [under_test.submit("m", (tensor(value),), TASK) for value in values]
        for value, future in zip(values, futures, strict=True):
            if value in poison:
                with pytest.raises(ModelCrashed):
                    future.result(10)
            elif value in refused:
                with pytest.raises(ModelFailed):
                    future.result(10)
            else:
                assert value_of(future) == 2 * value


def test_items_that_wait_while_a_batch_runs_go_together() -> None:
    host = DoublingHost()
    host.gate.clear()
    with batcher(host, max_batch_size=4, max_wait_time=0.0) as under_test:
        first = under_test.submit("m", (tensor(0),), TASK)
        assert host.entered.wait(10)
        rest = [under_test.submit("m", (tensor(value),), TASK) for value in (1, 2, 3)]
        host.gate.set()
        assert [value_of(future) for future in [first, *rest]] == [0, 2, 4, 6]
    assert [values for _, values in host.batches] == [[0.0], [1.0, 2.0, 3.0]]


def test_an_idle_model_waits_for_companions_no_longer_than_configured() -> None:
    host = DoublingHost()
    with batcher(host, max_batch_size=2, max_wait_time=30.0) as under_test:
        began = time.monotonic()
        futures = [under_test.submit("m", (tensor(value),), TASK) for value in (1, 2)]
        assert [value_of(future) for future in futures] == [2, 4]
        assert time.monotonic() - began < 20
    assert [values for _, values in host.batches] == [[1.0, 2.0]]


def test_interactive_items_overtake_bulk_ones_that_came_first() -> None:
    host = DoublingHost()
    host.gate.clear()
    bulk = TaskContext(task_id="b", priority="bulk")
    with batcher(host, max_batch_size=1, max_wait_time=0.0) as under_test:
        # Both lanes are taken up first, so that all others wait in the batcher.
        busy = [under_test.submit("m", (tensor(value),), TASK) for value in (0, 1)]
        assert host.entered.wait(10)
        wait_until(lambda: under_test.pending == 0)
        waiting = [under_test.submit("m", (tensor(value),), bulk) for value in (10, 11, 12)]
        urgent = under_test.submit("m", (tensor(20),), TASK)
        host.gate.set()
        assert [value_of(each) for each in [*busy, *waiting, urgent]] == [0, 2, 20, 22, 24, 40]
    order = [values[0] for _, values in host.batches]
    assert order.index(20.0) < order.index(10.0) < order.index(12.0)


def test_what_nobody_waits_for_never_reaches_the_model() -> None:
    host = DoublingHost()
    host.gate.clear()
    cancelled: set[str] = set()
    late = TaskContext(task_id="late", deadline=time.time() + 0.05)
    unwanted = TaskContext(task_id="unwanted", is_cancelled=cancelled.__contains__)
    with batcher(host, max_batch_size=8, max_wait_time=0.0) as under_test:
        busy = under_test.submit("m", (tensor(0),), TASK)
        assert host.entered.wait(10)
        futures = [
            under_test.submit("m", (tensor(i),), task) for i, task in enumerate((late, unwanted, TASK), 1)
        ]
        cancelled.add("unwanted")
        wait_until(lambda: late.deadline is not None and time.time() > late.deadline)
        host.gate.set()
        with pytest.raises(DeadlineExceeded):
            futures[0].result(10)
        with pytest.raises(TaskCancelled):
            futures[1].result(10)
        assert value_of(futures[2]) == 6
        assert value_of(busy) == 0
    assert [values for _, values in host.batches] == [[0.0], [3.0]]


def test_a_full_batcher_makes_its_callers_wait() -> None:
    host = DoublingHost()
    host.gate.clear()
    with batcher(host, max_batch_size=1, max_wait_time=0.0, max_pending=2) as under_test:
        for value in range(4):
            under_test.submit("m", (tensor(value),), TASK)
            wait_until(lambda: under_test.pending <= 2)
        assert under_test.pending == 2
        blocked = threading.Thread(target=lambda: under_test.submit("m", (tensor(9),), TASK).result(10))
        blocked.start()
        blocked.join(0.05)
        assert blocked.is_alive()
        host.gate.set()
        blocked.join(10)
        assert not blocked.is_alive()


def test_a_batch_that_only_waited_while_the_process_died_is_run_again() -> None:
    class DyingHost(DoublingHost):
        deaths = 0

        def infer(self, *arguments: Any) -> BatchOutput:
            if self.deaths < 1:
                self.deaths += 1
                raise HostLostError(ModelCrashed("another batch did it"), guilty=False)
            return super().infer(*arguments)

    host = DyingHost()
    with batcher(host, max_batch_size=4, max_wait_time=0.0) as under_test:
        assert value_of(under_test.submit("m", (tensor(3),), TASK)) == 6
    assert host.deaths == 1


def test_an_item_alone_is_run_again_after_a_kill_that_may_have_come_from_outside() -> None:
    class KilledHost(DoublingHost):
        kills = 0

        def infer(self, *arguments: Any) -> BatchOutput:
            if not self.kills:
                self.kills += 1
                raise HostLostError(ModelCrashed("it was killed"), guilty=True)
            return super().infer(*arguments)

    host = KilledHost()
    with batcher(host, max_batch_size=4, max_wait_time=0.0) as under_test:
        assert value_of(under_test.submit("m", (tensor(3),), TASK)) == 6
    assert host.kills == 1


def test_an_item_that_kills_each_time_runs_alone_twice_and_no_more() -> None:
    host = DoublingHost(poison=[5])
    with batcher(host, max_batch_size=1, max_wait_time=0.0) as under_test:
        with pytest.raises(ModelCrashed, match="it died"):
            under_test.submit("m", (tensor(5),), TASK).result(10)
        assert value_of(under_test.submit("m", (tensor(3),), TASK)) == 6
    assert host.batches == [("m", [5.0])] * 2 + [("m", [3.0])]


def test_an_item_that_hangs_is_not_waited_for_twice() -> None:
    class HangingHost(DoublingHost):
        def infer(self, *arguments: Any) -> BatchOutput:
            super().infer(*arguments)
            raise HostLostError(ModelTimeout("no answer"), guilty=True)

    host = HangingHost()
    with (
        batcher(host, max_batch_size=1, max_wait_time=0.0) as under_test,
        pytest.raises(ModelTimeout),
    ):
        under_test.submit("m", (tensor(1),), TASK).result(10)
    assert len(host.batches) == 1


def test_a_host_that_cannot_be_started_fails_the_whole_batch_with_its_reason() -> None:
    class MissingHost(DoublingHost):
        def infer(self, *arguments: Any) -> BatchOutput:
            del arguments
            raise ModelUnavailable("no memory for the weights")

    with (
        batcher(MissingHost(), max_batch_size=4, max_wait_time=0.0) as under_test,
        pytest.raises(ModelUnavailable, match="no memory for the weights"),
    ):
        under_test.submit("m", (tensor(1),), TASK).result(10)


def test_a_host_that_cannot_be_started_leaves_its_items_to_the_others() -> None:
    class LostHost(DoublingHost):
        def infer(self, *arguments: Any) -> BatchOutput:
            del arguments
            self.available = False
            raise ModelUnavailable("the weights have gone")

    lost, well = LostHost(), DoublingHost()
    well.gate.clear()
    under_test = DynamicBatcher([lost, well], BatchingOptions(max_batch_size=2, max_wait_time=0.0))
    try:
        futures = [under_test.submit("m", (tensor(value),), TASK) for value in range(20)]
        while not lost.revivals:
            time.sleep(0.001)
        well.gate.set()
        assert [value_of(future) for future in futures] == [2.0 * value for value in range(20)]
    finally:
        well.gate.set()
        under_test.close()


def test_closing_answers_what_waits() -> None:
    host = DoublingHost()
    host.gate.clear()
    with batcher(host, max_batch_size=2, max_wait_time=60.0) as under_test:
        futures = [under_test.submit("m", (tensor(value),), TASK) for value in (1, 2, 3)]
        host.gate.set()
    assert [value_of(future) for future in futures] == [2, 4, 6]


def wait_until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.001)
