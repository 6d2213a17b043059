"""Authentication, scopes, request rates, back-pressure and body limits."""

import json
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from database.pool import Database
from gateway.keys import hash_key, new_key
from gateway.settings import SCOPES
from job_store.api_keys import ApiKeys
from paddlewheel.wire.messages import TaskMessage
from tests.integration.gateway.conftest import OpenGateway

BLOB = {"image": {"blob": "sha256:" + "0" * 64}}


@pytest.fixture
def keys(gateway_database: str) -> ApiKeys:
    return ApiKeys(Database(gateway_database))


async def test_without_a_key_nothing_is_open_by_default(open_gateway: OpenGateway) -> None:
    async with open_gateway(gateway_anonymous_scopes="") as http:
        answer = await http.get("/v1/tasks")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthorized"
        old = await http.post("/ocr", json={"file": "aGk="})
        assert (old.status_code, old.json()["errorCode"]) == (401, 401)
        assert (await http.get("/health")).status_code == 200


async def test_a_key_opens_what_its_scopes_name(open_gateway: OpenGateway, keys: ApiKeys) -> None:
    key = new_key()
    kept = keys.add("reader", hash_key(key), ["galleries:read"])
    async with open_gateway(gateway_anonymous_scopes="") as http:
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            assert (await http.get("/v1/galleries", headers=headers)).status_code == 200
            refused = await http.get("/v1/tasks", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        keys.revoke(kept.id)
        gone = await http.get("/v1/galleries", headers={"X-API-Key": key})
        assert gone.status_code == 401
        assert "revoked" in gone.json()["detail"]


async def test_a_key_is_nowhere_to_be_read(keys: ApiKeys, gateway_database: str) -> None:
    key = new_key()
    keys.add("secret", hash_key(key), list(SCOPES))
    with Database(gateway_database).session() as connection:
        rows = connection.exec_driver_sql("SELECT api_keys::text FROM api_keys").scalars().all()
    assert any(hash_key(key) in row for row in rows)
    assert not any(key in row for row in rows)


async def test_a_caller_sees_their_own_tasks_alone(open_gateway: OpenGateway, keys: ApiKeys) -> None:
    mine, theirs = new_key(), new_key()
    for key in (mine, theirs):
        keys.add("caller", hash_key(key), ["tasks"])
    async with open_gateway(gateway_anonymous_scopes="") as http:
        submitted = await http.post("/v1/tasks/ocr.recognize", json=BLOB, headers={"X-API-Key": mine})
        url = submitted.json()["url"]
        assert (await http.get(url, headers={"X-API-Key": mine})).status_code == 200
        assert (await http.get(url, headers={"X-API-Key": theirs})).status_code == 404
        listed = await http.get("/v1/tasks", headers={"X-API-Key": theirs})
        assert listed.json()["tasks"] == []


async def test_a_key_that_exceeds_its_rate_learns_when_to_retry(open_gateway: OpenGateway) -> None:
    async with open_gateway(gateway_rate=0.5, gateway_burst=3) as http:
        answers = [await http.get("/v1/galleries") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3
    assert answers[-1].json()["code"] == "too_many_requests"


async def test_work_is_refused_while_the_oldest_task_waits_too_long(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    old = TaskMessage(
        id="t",
        name="ocr.recognize",
        queue="gpu",
        request={},
        priority="interactive",
        enqueued_at=time.time() - 90,
    )
    async with open_gateway(gateway_max_queue_age=60) as http:
        broker.lpush(old.list_key, old.encode())
        refused = await http.post("/v1/tasks/ocr.recognize", json=BLOB)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        same = await http.post("/text-recognition", json={"image": "aGk="})
        assert (same.status_code, same.json()["errorCode"]) == (429, 429)
        # Another queue is not full.
        assert (await http.post("/v1/tasks/gallery.describe", json={"gallery": "g"})).status_code == 202


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(open_gateway: OpenGateway) -> None:
    async with open_gateway(gateway_max_body_bytes=10_000) as http:
        whole = await http.post("/v1/tasks/ocr.recognize", json={"image": {"base64": "A" * 20_000}})
        assert (whole.status_code, whole.json()["code"]) == (413, "request_too_large")

        async def portions() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b"A" * 1000

        unsaid = await http.post("/ocr", content=portions(), headers={"Content-Type": "application/json"})
        assert (unsaid.status_code, unsaid.json()["errorCode"]) == (413, 413)


async def test_an_image_that_is_too_large_is_refused(open_gateway: OpenGateway) -> None:
    async with open_gateway(gateway_max_image_bytes=2000) as http:
        answer = await http.post("/v1/tasks/ocr.recognize", json={"image": {"base64": "AAAA" * 1000}})
        assert (answer.status_code, answer.json()["code"]) == (413, "blob_too_large")
        file = await http.post("/v1/images", files={"image": b"x" * 3000})
        assert (file.status_code, file.json()["code"]) == (413, "blob_too_large")


async def test_a_request_has_an_id_that_travels_with_its_task(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    async with open_gateway() as http:
        named = await http.post(
            "/v1/tasks/ocr.recognize", json=BLOB, headers={"X-Request-ID": "order-7731-a"}
        )
        assert named.headers["X-Request-ID"] == "order-7731-a"
        message = json.loads(broker.lindex("gpu", 0) or b"")
        assert message["headers"]["request_id"] == "order-7731-a"
        odd = await http.get("/health", headers={"X-Request-ID": "a b;"})
        assert len(odd.headers["X-Request-ID"]) == 36
        assert odd.json()["logId"] == odd.headers["X-Request-ID"]
