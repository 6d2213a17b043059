"""The model process, real, with a network that fails on demand."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from local.processes import wait_until
from paddlewheel.errors import ModelCrashed, ModelFailed, ModelTimeout, ModelUnavailable
from tasks.context import TaskContext
from tests.faulty_network import (
    CRASH,
    GARBAGE,
    HANG,
    LEAK,
    LEAK_BYTES,
    OOM_KILLED,
    OTHER_BATCH,
    OUT_OF_MEMORY,
    RAISE,
    RUNAWAY,
)
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.inference.host import HostLostError, ModelHost
from workers.inference.host_config import HostConfig, HostedModel
from workers.inference.memory import MemoryBounds
from workers.models.engines.session import SessionOptions

TASK = TaskContext(task_id="t")


@contextmanager
def host(loader: str = "open_faulty", batch_timeout: float = 30.0, **limits: Any) -> Iterator[ModelHost]:
    model = HostedModel(
        name="m",
        path=Path("nowhere"),
        options=SessionOptions(),
        warm_up=(((2, 3),),),
        loader=f"tests.faulty_network:{loader}",
    )
    made = ModelHost(HostConfig(models=(model,), start_timeout=60, batch_timeout=batch_timeout, **limits))
    try:
        yield made
    finally:
        made.close()


def items(*values: float) -> list[tuple[NDArray[np.float32]]]:
    return [(np.full((2, 3), value, dtype=np.float32),) for value in values]


def test_a_batch_goes_there_and_back_with_its_ids() -> None:
    with host() as under_test:
        under_test.start()
        done = under_test.infer(0, "m", [7, 8], items(1, 2))
        assert done.outputs[0].shape == (2, 2, 3)
        assert done.outputs[0][:, 0, 0].tolist() == [2, 4]
        assert under_test.models["m"].engine == "faulty"
        assert done.outputs[1].tolist() == [under_test.pid] * 2
        assert under_test.pid != os.getpid()


def test_a_batch_larger_than_the_memory_makes_it_grow() -> None:
    with host() as under_test:
        under_test.start()
        for count in (1, 5, 2):
            tensors = [(np.full((1000, 500), value, dtype=np.float32),) for value in range(count)]
            done = under_test.infer(1, "m", list(range(count)), tensors)
            assert [float(row[0, 0]) for row in done.outputs[0]] == [2.0 * value for value in range(count)]


def test_an_error_of_the_model_is_typed_and_the_process_survives() -> None:
    with host() as under_test:
        under_test.start()
        first = under_test.pid
        with pytest.raises(ModelFailed, match="ValueError"):
            under_test.infer(0, "m", [1], items(RAISE))
        assert under_test.infer(0, "m", [2], items(3)).outputs[0].flat[0] == 6
        assert under_test.pid == first


def test_a_native_crash_names_the_batch_that_did_it_and_a_warm_process_takes_over() -> None:
    with host() as under_test:
        under_test.start()
        first = under_test.pid
        with pytest.raises(HostLostError) as caught:
            under_test.infer(0, "m", [1], items(CRASH))
        assert caught.value.guilty
        assert isinstance(caught.value.error, ModelCrashed)
        assert under_test.infer(1, "m", [2], items(3)).outputs[0].flat[0] == 6
        assert under_test.pid != first
        assert under_test.generation == 2


def test_a_hung_model_is_killed_at_its_deadline() -> None:
    with host(batch_timeout=0.5) as under_test:
        under_test.start()
        with pytest.raises(HostLostError) as caught:
            under_test.infer(0, "m", [1], items(HANG))
        assert isinstance(caught.value.error, ModelTimeout)
        assert under_test.infer(0, "m", [2], items(4)).outputs[0].flat[0] == 8


def test_a_killed_process_is_replaced_and_nobody_is_to_blame() -> None:
    with host() as under_test:
        under_test.start()
        assert under_test.pid is not None
        os.kill(under_test.pid, signal.SIGKILL)
        with pytest.raises(HostLostError) as caught:
            under_test.infer(0, "m", [1], items(5))
        assert not caught.value.guilty
        assert under_test.infer(0, "m", [1], items(5)).outputs[0].flat[0] == 10


def test_weights_that_are_missing_stop_the_start_with_the_reason() -> None:
    with host("open_missing") as under_test, pytest.raises(ModelUnavailable, match="holds no weights"):
        under_test.start()


def test_a_process_that_dies_while_loading_stops_the_start() -> None:
    with host("open_crashing") as under_test, pytest.raises(ModelUnavailable, match="died while it loaded"):
        under_test.start()


def test_closing_leaves_no_process_and_no_descriptor_behind() -> None:
    before = psutil.Process().num_fds()
    for _ in range(3):
        with host() as under_test:
            under_test.start()
            pid = under_test.pid
            under_test.infer(0, "m", [1], items(1))
        assert pid is not None
        assert not psutil.pid_exists(pid)
    assert psutil.Process().num_fds() <= before


def test_in_a_batch_with_a_killer_only_the_killer_fails() -> None:
    with host() as under_test:
        under_test.start()
        batcher = DynamicBatcher([under_test], BatchingOptions(max_batch_size=8, max_wait_time=0.05))
        try:
            values = [1, 2, CRASH, 3, RAISE, 4, 5, 6]
            futures = [batcher.submit("m", item, TASK) for item in items(*values)]
            for value, future in zip(values, futures, strict=True):
                if value == CRASH:
                    with pytest.raises(ModelCrashed):
                        future.result(60)
                elif value == RAISE:
                    with pytest.raises(ModelFailed):
                        future.result(60)
                else:
                    assert future.result(60).outputs[0].flat[0] == 2 * value
        finally:
            batcher.close()


def test_both_lanes_answer_their_own_callers_while_the_process_is_killed() -> None:
    # No batch is ever given up here: a lane that waits on the wrong process would wait for good.
    with host(batch_timeout=3600) as under_test:
        under_test.start()
        batcher = DynamicBatcher([under_test], BatchingOptions(max_batch_size=4, max_wait_time=0.0))
        try:
            futures = [batcher.submit("m", item, TASK) for item in items(*range(240))]
            for answered in (40, 80, 120, 160, 200):
                futures[answered].result(60)
                assert under_test.pid is not None
                os.kill(under_test.pid, signal.SIGKILL)
            answers = [float(future.result(60).outputs[0].flat[0]) for future in futures]
        finally:
            under_test.close()
            batcher.close()
        assert answers == [2.0 * value for value in range(240)]
        assert under_test.generation >= 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (GARBAGE, ModelCrashed),
        (OTHER_BATCH, ModelCrashed),
        (OOM_KILLED, ModelCrashed),
        (OUT_OF_MEMORY, ModelFailed),
    ],
    ids=["garbage", "another batch", "killed for memory", "no memory"],
)
def test_what_a_model_does_to_its_process_costs_its_own_item_alone(
    fault: float, expected: type[Exception]
) -> None:
    with host() as under_test:
        under_test.start()
        first = under_test.pid
        batcher = DynamicBatcher([under_test], BatchingOptions(max_batch_size=4, max_wait_time=0.05))
        try:
            futures = [batcher.submit("m", item, TASK) for item in items(1, fault, 2, 3)]
            with pytest.raises(expected):
                futures[1].result(60)
            assert [future.result(60).outputs[0].flat[0] for future in (futures[0], *futures[2:])] == [
                2,
                4,
                6,
            ]
        finally:
            batcher.close()
        assert (under_test.pid != first) == (expected is ModelCrashed)


@pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "pausing"])
def test_a_process_that_grows_is_replaced_between_batches(overlap: bool) -> None:
    with host(memory=MemoryBounds(limit=10 * LEAK_BYTES), overlap=overlap) as under_test:
        under_test.start()
        batcher = DynamicBatcher([under_test], BatchingOptions(max_batch_size=4, max_wait_time=0.0))
        pids = set()
        slowest = 0.0
        try:
            for number in range(2000):
                began = time.monotonic()
                futures = [batcher.submit("m", item, TASK) for item in items(LEAK, number, number, number)]
                answers = [future.result(60) for future in futures]
                slowest = max(slowest, time.monotonic() - began)
                assert [answer.outputs[0].flat[0] for answer in answers[1:]] == [2 * number] * 3
                pids |= {int(answer.outputs[1]) for answer in answers}
                if len(pids) == 4:
                    break
        finally:
            batcher.close()
        print(f"{len(pids)} processes in {number + 1} rounds; the slowest took {slowest * 1000:.0f} ms")
        assert len(pids) == 4


@pytest.mark.parametrize(
    "bounds",
    [MemoryBounds(limit=4 * LEAK_BYTES), MemoryBounds(maximum=8 * LEAK_BYTES)],
    ids=["limit alone", "maximum"],
)
def test_a_batch_that_takes_memory_without_end_is_stopped(bounds: MemoryBounds) -> None:
    with host(memory=bounds) as under_test:
        under_test.start()
        with pytest.raises(HostLostError, match="was stopped: it took") as caught:
            under_test.infer(0, "m", [1], items(RUNAWAY))
        assert caught.value.guilty
        assert under_test.infer(0, "m", [2], items(3)).outputs[0].flat[0] == 6


def test_a_batch_that_waits_behind_one_that_takes_memory_is_not_blamed_for_it() -> None:
    with host(memory=MemoryBounds(maximum=8 * LEAK_BYTES)) as under_test:
        under_test.start()
        with ThreadPoolExecutor(1) as other:
            greedy = other.submit(under_test.infer, 0, "m", [1], items(RUNAWAY))
            assert wait_until(lambda: under_test.resident_bytes > 2 * LEAK_BYTES, 10)
            with pytest.raises(HostLostError) as caught:
                under_test.infer(1, "m", [2], items(3))
            assert not caught.value.guilty
            with pytest.raises(HostLostError, match="was stopped: it took") as blamed:
                greedy.result(30)
            assert blamed.value.guilty


def test_models_that_take_more_than_the_maximum_at_once_stop_the_start_with_the_reason() -> None:
    with (
        host(memory=MemoryBounds(maximum=1 << 20)) as under_test,
        pytest.raises(ModelUnavailable, match="PADDLEWHEEL_MODEL_MEMORY_MAX"),
    ):
        under_test.start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these bounds")
def test_the_kernel_bounds_a_model_process_and_takes_it_before_the_worker() -> None:
    with host(memory=MemoryBounds(maximum=8 * LEAK_BYTES)) as under_test:
        under_test.start()
        pid = under_test.pid
        assert pid is not None
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) >= 500
        assert int(Path("/proc/self/oom_score_adj").read_text()) < 500
        data, _ = psutil.Process(pid).rlimit(psutil.RLIMIT_DATA)
        assert 8 * LEAK_BYTES < data < psutil.Process(pid).memory_info().data + 32 * LEAK_BYTES


def test_one_of_two_devices_keeps_full_speed_while_the_other_is_replaced() -> None:
    with host() as first, host() as second:
        first.start()
        second.start()
        batcher = DynamicBatcher([first, second], BatchingOptions(max_batch_size=1, max_wait_time=0.0))
        try:
            pid = first.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            answers = []
            while first.generation == 1 or first.pid is None or first.pid == pid:
                answers.append(batcher.submit("m", items(3)[0], TASK).result(60))
            assert {answer.outputs[0].flat[0] for answer in answers} == {6}
            # The process takes half a second to come back.
            assert len(answers) > 20
        finally:
            batcher.close()
