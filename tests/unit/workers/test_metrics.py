"""What a worker measures, as Prometheus reads it."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from paddlewheel.errors import ConfigurationError, ImageCorrupt, InternalError
from tasks.context import TaskContext
from tests.doubling_host import DoublingHost
from workers.consumer.metrics import MetricsServer, WorkerMetrics
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher


@dataclass
class Process:
    generation: int
    available: bool
    resident_bytes: int


@pytest.fixture
def metrics() -> Iterator[WorkerMetrics]:
    metrics = WorkerMetrics()
    metrics.listen()
    yield metrics
    metrics.close()


def value(metrics: WorkerMetrics, sample: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(sample, labels)


def test_tasks_are_counted_by_name_and_outcome(metrics: WorkerMetrics) -> None:
    app = Celery("unit", set_as_current=False)
    app.conf.update(task_always_eager=True, task_store_eager_result=False)
    headers: Any = {"enqueued_at": 1.0}

    @app.task(name="t.run", bind=True, max_retries=1)
    def run(self: Any, fault: str | None) -> str:
        if fault == "typed":
            raise ImageCorrupt("It is cut off.")
        if fault == "untyped":
            raise KeyError(fault)
        if fault == "again":
            raise self.retry(exc=InternalError("Twice."), countdown=0)
        return "done"

    for fault in (None, None, "typed", "untyped", "again"):
        run.apply(args=(fault,), headers=headers)
    outcomes = {
        outcome: value(metrics, "paddlewheel_tasks_total", name="t.run", outcome=outcome)
        for outcome in ("succeeded", "image_corrupt", "internal_error")
    }
    assert outcomes == {"succeeded": 2, "image_corrupt": 1, "internal_error": 2}
    assert value(metrics, "paddlewheel_task_retries_total", name="t.run") == 1
    assert value(metrics, "paddlewheel_task_duration_seconds_count", name="t.run") == 5
    assert (value(metrics, "paddlewheel_task_queue_seconds_sum", name="t.run") or 0) > 1e9


def test_batches_are_measured_with_their_items(metrics: WorkerMetrics) -> None:
    host = DoublingHost(refused=[7])
    batcher = DynamicBatcher([host], BatchingOptions(max_batch_size=4), observer=metrics)
    host.gate.clear()
    values = [1, 2, 3, 7, 4, 5]
    futures = [
        batcher.submit("m", (np.full((2, 2), each, np.float32),), TaskContext(task_id="t")) for each in values
    ]
    host.gate.set()
    assert sum(future.exception(10) is None for future in futures) == 5
    batcher.close()
    answered = [batch for _, batch in host.batches if 7 not in batch]
    assert value(metrics, "paddlewheel_batch_items_sum", model="m") == 5
    assert value(metrics, "paddlewheel_batch_items_count", model="m") == len(answered)
    assert value(metrics, "paddlewheel_batch_wait_seconds_count", model="m") == 5
    assert value(metrics, "paddlewheel_model_run_seconds_sum", model="m") == pytest.approx(
        len(answered) * 0.001
    )


def test_model_processes_are_asked_when_somebody_looks(metrics: WorkerMetrics) -> None:
    process = Process(generation=1, available=True, resident_bytes=5)
    metrics.watch([process, Process(generation=3, available=False, resident_bytes=0)])
    assert value(metrics, "paddlewheel_model_process_restarts_total", process="0") == 0
    process.generation = 2
    assert value(metrics, "paddlewheel_model_process_restarts_total", process="0") == 1
    assert value(metrics, "paddlewheel_model_process_restarts_total", process="1") == 2
    assert value(metrics, "paddlewheel_model_process_up", process="1") == 0
    assert value(metrics, "paddlewheel_model_process_resident_bytes", process="0") == 5


def test_prometheus_reads_what_is_served(metrics: WorkerMetrics) -> None:
    metrics.ran("m", [0.001, 0.002], 0.01)
    door = MetricsServer(metrics, "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigurationError, match="PADDLEWHEEL_METRICS_PORT"):
            MetricsServer(metrics, "127.0.0.1", door.port)
        with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        door.close()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["paddlewheel_batch_items"].type == "histogram"
    assert {name.split("_")[0] for name in families} == {"paddlewheel"}
