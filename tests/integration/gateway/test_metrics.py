"""What Prometheus finds at the gateway."""

import time
from typing import get_args

import psycopg2
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from paddlewheel.contracts.batch_jobs import BatchState
from paddlewheel.wire.messages import TaskMessage
from tests.integration.gateway.conftest import OpenGateway

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labelled(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


async def test_queues_are_reported_by_depth_and_age(open_gateway: OpenGateway, broker: Redis) -> None:
    async with open_gateway() as http:
        for number in range(3):
            message = TaskMessage(
                id=f"t{number}",
                name="ocr.recognize",
                queue="gpu",
                request={},
                priority="bulk",
                enqueued_at=time.time() - 90 + number,
            )
            broker.lpush(message.list_key, message.encode())
        found = samples((await http.get("/metrics")).text)
    bulk, urgent = labelled(queue="gpu", priority="bulk"), labelled(queue="gpu", priority="interactive")
    assert found["paddlewheel_queue_tasks", bulk] == 3
    assert 90 <= found["paddlewheel_queue_oldest_seconds", bulk] < 120
    assert found["paddlewheel_queue_tasks", urgent] == 0
    assert found["paddlewheel_queue_oldest_seconds", urgent] == 0
    assert found["paddlewheel_broker_up", ()] == found["paddlewheel_database_up", ()] == 1
    assert found["paddlewheel_dead_letters", ()] == 0


async def test_galleries_are_reported_by_size_and_lag(
    open_gateway: OpenGateway, gateway_database: str
) -> None:
    connection = psycopg2.connect(gateway_database)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO galleries (key, dimension, metric, index_type, precision, live, generation, "
            "sealed_generation) VALUES ('staff', 4, 'IP', 'auto', 'fp32', 12, 9, 4)"
        )
    connection.close()
    async with open_gateway() as http:
        found = samples((await http.get("/metrics")).text)
    assert found["paddlewheel_gallery_vectors", labelled(gallery="staff")] == 12
    assert found["paddlewheel_gallery_unsealed_changes", labelled(gallery="staff")] == 5
    assert found["paddlewheel_galleries_unsealed_changes", ()] == 5


async def test_requests_are_counted_by_their_route(open_gateway: OpenGateway) -> None:
    async with open_gateway() as http:
        for task in ("a", "b"):
            await http.get(f"/v1/tasks/{task}")
        await http.get("/no/such/door")
        found = samples((await http.get("/metrics")).text)
    name = "paddlewheel_http_requests_total"
    assert found[name, labelled(method="GET", route="/v1/tasks/{task_id}", status="404")] == 2
    assert found[name, labelled(method="any", route="unknown", status="404")] == 1


async def test_metrics_need_their_scope(open_gateway: OpenGateway) -> None:
    async with open_gateway(gateway_anonymous_scopes="tasks") as http:
        assert (await http.get("/metrics")).status_code == 401


async def test_batch_jobs_are_reported_by_state_lines_and_rate(
    open_gateway: OpenGateway, gateway_database: str
) -> None:
    connection = psycopg2.connect(gateway_database)
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM batch_jobs")
        for job, state, ended in (("a", "running", None), ("b", "running", None), ("c", "succeeded", "now")):
            cursor.execute(
                "INSERT INTO batch_jobs (id, key_id, task, options, manifest, sink, overwrite, state,"
                " finished_at) VALUES (%s, '', 'images.classify', '{}', '/m', '/s', false, %s, %s)",
                (job, state, ended),
            )
        for job, line, state, failed, done in (
            ("a", 0, "done", 7, "now"),
            ("a", 100, "done", 0, "yesterday"),
            ("b", 0, "running", 0, None),
            ("c", 0, "done", 50, "now"),
        ):
            cursor.execute(
                "INSERT INTO batch_shards (job_id, first_line, lines, begin_byte, end_byte, digest, part,"
                " state, failed_lines, finished_at) VALUES (%s, %s, 100, 0, 1, '', 'p', %s, %s, %s)",
                (job, line, state, failed, done),
            )
    async with open_gateway() as http:
        found = samples((await http.get("/metrics")).text)
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM batch_jobs")
    connection.close()
    jobs = {state: found["paddlewheel_batch_jobs", labelled(state=state)] for state in get_args(BatchState)}
    assert jobs == {
        "planning": 0,
        "running": 2,
        "finishing": 0,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
    }
    lines = [found["paddlewheel_batch_lines", labelled(state=each)] for each in ("waiting", "done", "failed")]
    assert lines == [100, 193, 7]
    assert found["paddlewheel_batch_lines_per_second", ()] == 100 / 60
