"""Prometheus metrics: this gateway's requests, and statistics of the servers.

Every gateway reports the same server statistics: aggregate them with max, not with sum.
"""

import time
from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.keys import require_scope
from gateway.problems import FAILED_ENVELOPES
from gateway.service_stats import DatabaseStats, ServerStats
from gateway.services import TaskRunner, gateway
from job_store.job_stats import BatchJobStats

REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestMetrics:
    """Counts and times the requests of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "paddlewheel_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "paddlewheel_http_request_duration_seconds",
            "Time until a request's answer was sent, its tasks included.",
            ("route",),
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request by its route. Its path would let callers create any number of time series."""
        route = getattr(scope.get("route"), "path", "unknown")
        known = scope["method"] if route != "unknown" else "any"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class RequestCounts:
    """Middleware that counts requests."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.count(scope, status, time.monotonic() - began)


class ServerCollector(Collector):
    """Exports statistics of queues, dead letters, galleries and batch jobs."""

    def __init__(self, stats: ServerStats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families, without those of a server that cannot be reached."""
        queues, database = self._stats.queues, self._stats.database
        yield _gauge("paddlewheel_broker_up", "Whether the broker answers.", queues is not None)
        yield _gauge("paddlewheel_database_up", "Whether Postgres answers.", database is not None)
        names = ("queue", "priority")
        depth = GaugeMetricFamily("paddlewheel_queue_tasks", "Tasks that wait.", labels=names)
        age = GaugeMetricFamily(
            "paddlewheel_queue_oldest_seconds", "How long the oldest task has waited.", labels=names
        )
        for queue in queues or ():
            depth.add_metric((queue.queue, queue.priority), queue.depth)
            age.add_metric((queue.queue, queue.priority), queue.oldest)
        yield depth
        yield age
        if database is not None:
            yield from _database_metrics(database)


def metrics_router(metrics: RequestMetrics) -> APIRouter:
    """/metrics, for Prometheus."""
    router = APIRouter(tags=["Operation"], responses=FAILED_ENVELOPES)

    @router.get(
        "/metrics",
        dependencies=[Depends(require_scope("metrics"))],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def scrape(service: Annotated[TaskRunner, Depends(gateway)]) -> Response:
        """Metrics in Prometheus' text format. Configure the scraper to send the API key as a bearer token."""
        registry = CollectorRegistry()
        registry.register(ServerCollector(await service.stats.read()))
        text = generate_latest(metrics.registry) + generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_1_0_0)

    return router


def _database_metrics(stats: DatabaseStats) -> Iterable[Metric]:
    yield _gauge("paddlewheel_dead_letters", "Tasks that were given up.", stats.jobs.dead_letters)
    yield _gauge("paddlewheel_http_tasks_waiting", "Tasks without an outcome.", stats.jobs.waiting_jobs)
    yield _gauge("paddlewheel_webhooks_waiting", "Webhooks to deliver.", stats.jobs.waiting_webhooks)
    yield _gauge("paddlewheel_galleries", "Galleries.", stats.galleries.galleries)
    yield _gauge("paddlewheel_galleries_vectors", "Vectors of all galleries.", stats.galleries.vectors)
    yield _gauge(
        "paddlewheel_galleries_unsealed_changes",
        "Changes of the gallery that is furthest behind which are in no segment file.",
        stats.galleries.most_unsealed,
    )
    vectors = GaugeMetricFamily(
        "paddlewheel_gallery_vectors", "Vectors of the largest galleries.", labels=("gallery",)
    )
    unsealed = GaugeMetricFamily(
        "paddlewheel_gallery_unsealed_changes", "Their changes in no segment file.", labels=("gallery",)
    )
    for each in stats.galleries.largest:
        vectors.add_metric((each.key,), each.live)
        unsealed.add_metric((each.key,), each.generation - each.sealed_generation)
    yield vectors
    yield unsealed
    yield from _batch_metrics(stats.jobs.batches)


def _batch_metrics(batches: BatchJobStats) -> Iterable[Metric]:
    jobs = GaugeMetricFamily("paddlewheel_batch_jobs", "Batch jobs by their state.", labels=("state",))
    for state, count in batches.jobs.items():
        jobs.add_metric((state,), count)
    lines = GaugeMetricFamily(
        "paddlewheel_batch_lines", "Lines of batch jobs that have not ended.", labels=("state",)
    )
    lines.add_metric(("waiting",), batches.waiting_lines)
    lines.add_metric(("done",), batches.good_lines)
    lines.add_metric(("failed",), batches.failed_lines)
    yield jobs
    yield lines
    yield _gauge(
        "paddlewheel_batch_lines_per_second",
        "Lines that these jobs have done over the last minute.",
        batches.lines_per_second,
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
