"""A worker's metrics for Prometheus: its tasks, its batches, its model processes.

Celery's signals report tasks and the batcher reports batches; model processes are read at each scrape. Names
follow Prometheus' conventions: base units, `_total` for counters.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from celery import signals
from celery.states import FAILURE, RETRY, SUCCESS
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from paddlewheel.errors import ConfigurationError, PaddlewheelError
from paddlewheel.wire.messages import ENQUEUED_AT_HEADER

TASK_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
BATCH_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
BATCH_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ModelHostState(Protocol):
    """What the metrics read of a model host."""

    @property
    def generation(self) -> int:
        """How many processes there have been."""

    @property
    def available(self) -> bool:
        """Whether there is one."""

    @property
    def resident_bytes(self) -> int:
        """Its own memory."""


class WorkerMetrics:
    """One worker's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = Counter(
            "paddlewheel_tasks",
            "Tasks that were answered; the outcome is succeeded or the error's code.",
            ("name", "outcome"),
            registry=self.registry,
        )
        self._retries = Counter(
            "paddlewheel_task_retries",
            "Tasks that go again because a store was away.",
            ("name",),
            registry=self.registry,
        )
        self._durations = self._histogram(
            "paddlewheel_task_duration_seconds", "Time of a task in the worker.", "name", TASK_SECONDS
        )
        self._queued = self._histogram(
            "paddlewheel_task_queue_seconds", "Time of a task in the queue.", "name", TASK_SECONDS
        )
        self._items = self._histogram("paddlewheel_batch_items", "Items of a batch.", "model", BATCH_ITEMS)
        self._waits = self._histogram(
            "paddlewheel_batch_wait_seconds", "Time of an item before its batch.", "model", BATCH_SECONDS
        )
        self._runs = self._histogram(
            "paddlewheel_model_run_seconds", "Time of a batch in the model.", "model", BATCH_SECONDS
        )
        self._began: dict[str, float] = {}

    def ran(self, model: str, waits: Sequence[float], seconds: float) -> None:
        """A batch was answered; `waits` of its items, in seconds."""
        self._items.labels(model).observe(len(waits))
        self._runs.labels(model).observe(seconds)
        item = self._waits.labels(model)
        for wait in waits:
            item.observe(wait)

    def watch(self, hosts: Sequence[ModelHostState]) -> None:
        """Include the metrics of these model processes."""
        self.registry.register(ModelProcesses(hosts))

    def listen(self) -> None:
        """Start counting tasks."""
        signals.task_prerun.connect(self._begin, weak=False)
        signals.task_postrun.connect(self._end, weak=False)

    def close(self) -> None:
        """Stop counting tasks."""
        signals.task_prerun.disconnect(self._begin)
        signals.task_postrun.disconnect(self._end)

    def _begin(self, task_id: str, task: Any, **_: Any) -> None:
        self._began[task_id] = time.monotonic()
        enqueued = (task.request.headers or {}).get(ENQUEUED_AT_HEADER)
        if isinstance(enqueued, (int, float)):
            self._queued.labels(task.name).observe(max(0.0, time.time() - enqueued))

    def _end(self, task_id: str, task: Any, state: str | None, retval: Any, **_: Any) -> None:
        began = self._began.pop(task_id, None)
        if state == RETRY:
            self._retries.labels(task.name).inc()
            return
        if state not in (SUCCESS, FAILURE):
            return
        self._tasks.labels(task.name, outcome_of(state, retval)).inc()
        if began is not None:
            self._durations.labels(task.name).observe(time.monotonic() - began)

    def _histogram(self, name: str, text: str, label: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, (label,), buckets=buckets, registry=self.registry)


class ModelProcesses(Collector):
    """The state of every model process at the time of a scrape."""

    def __init__(self, hosts: Sequence[ModelHostState]) -> None:
        self._hosts = hosts

    def collect(self) -> Iterable[Metric]:
        """Read every process."""
        up = GaugeMetricFamily(
            "paddlewheel_model_process_up", "Whether a model process runs.", labels=("process",)
        )
        memory = GaugeMetricFamily(
            "paddlewheel_model_process_resident_bytes", "Memory of a model process.", labels=("process",)
        )
        restarts = CounterMetricFamily(
            "paddlewheel_model_process_restarts", "Model processes that were replaced.", labels=("process",)
        )
        for number, host in enumerate(self._hosts):
            process = (str(number),)
            up.add_metric(process, float(host.available))
            memory.add_metric(process, host.resident_bytes)
            restarts.add_metric(process, max(0, host.generation - 1))
        return up, memory, restarts


def outcome_of(state: str, answer: Any) -> str:
    """succeeded, or the code of the error."""
    if state == SUCCESS:
        return "succeeded"
    return answer.code if isinstance(answer, PaddlewheelError) else "internal_error"


class MetricsServer:
    """Serves a registry over HTTP, on /metrics, in a thread. Raises ConfigurationError for a port in use."""

    def __init__(self, metrics: WorkerMetrics, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, metrics.registry)
        except OSError as err:
            raise ConfigurationError(
                f"Metrics cannot be served on {host}:{port}: {err.strerror}; set PADDLEWHEEL_METRICS_PORT."
            ) from err

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
