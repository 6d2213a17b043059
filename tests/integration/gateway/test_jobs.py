"""Jobs outlive the broker, and are one however often they are sent."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
from redis import Redis

from gateway.sweeper import Sweeper
from paddlewheel.wire.result_store import RESULT_KEY
from tests.integration.client.answering import Answerer
from tests.integration.gateway.conftest import OpenGateway

BLOB = {"image": {"blob": "sha256:" + "0" * 64}}


def answer(broker: Redis, task_id: str, status: str = "SUCCESS", result: Any = None) -> None:
    """What a worker's result store writes."""
    meta = {"status": status, "result": result, "task_id": task_id, "name": "ocr.recognize"}
    key = RESULT_KEY.format(task_id)
    broker.set(key, json.dumps(meta))
    broker.publish(key, json.dumps(meta))


async def test_a_task_is_submitted_looked_at_and_answered(open_gateway: OpenGateway, broker: Redis) -> None:
    async with open_gateway() as http:
        submitted = await http.post("/v1/tasks/ocr.recognize", json=BLOB)
        assert submitted.status_code == 202
        task = submitted.json()
        assert submitted.headers["Location"] == task["url"] == f"/v1/tasks/{task['id']}"
        assert (await http.get(task["url"])).json()["state"] == "queued"
        early = await http.get(f"{task['url']}/result")
        assert (early.status_code, early.json()["code"]) == (409, "not_finished")
        waiting = asyncio.create_task(http.get(task["url"], params={"wait": 30}))
        await asyncio.sleep(0)
        answer(broker, task["id"], result={"rec_text": "seven", "rec_score": 1.0})
        found = (await waiting).json()
        assert (found["state"], found["result"]["rec_text"]) == ("succeeded", "seven")
        assert (await http.get(f"{task['url']}/result")).json() == found["result"]


async def test_a_failed_task_tells_its_typed_error(open_gateway: OpenGateway, broker: Redis) -> None:
    async with open_gateway() as http:
        task = (await http.post("/v1/tasks/ocr.recognize", json=BLOB)).json()
        failure = {"exc_type": "ImageCorrupt", "exc_message": ["The image is cut off."]}
        answer(broker, task["id"], "FAILURE", failure)
        found = (await http.get(task["url"], params={"wait": 30})).json()
        assert found["state"] == "failed"
        assert found["error"] == {"code": "image_corrupt", "message": "The image is cut off."}
        alone = await http.get(f"{task['url']}/result")
        assert (alone.status_code, alone.json()["code"]) == (422, "image_corrupt")


async def test_an_outcome_is_kept_when_the_broker_forgets_it(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    async with open_gateway() as http:
        task = (await http.post("/v1/tasks/ocr.recognize", json=BLOB)).json()
        answer(broker, task["id"], result={"rec_text": "kept", "rec_score": 1.0})
        # The sweeper settles it: nobody asked.
        async with asyncio.timeout(60):
            while "finished_at" not in (await http.get("/v1/tasks")).json()["tasks"][0]:
                await asyncio.sleep(0.02)
        broker.flushdb()
        assert (await http.get(task["url"])).json()["result"]["rec_text"] == "kept"


async def test_a_job_that_the_broker_lost_is_enqueued_again(
    open_gateway: OpenGateway, broker: Redis, monkeypatch: Any
) -> None:
    monkeypatch.setattr("gateway.sweeper.LOST_AFTER", 0.2)
    async with open_gateway() as http:
        task = (await http.post("/v1/tasks/ocr.recognize", json=BLOB)).json()
        broker.flushdb()
        async with asyncio.timeout(60):
            while not broker.llen("gpu"):
                await asyncio.sleep(0.02)
        message = json.loads(broker.lindex("gpu", 0) or b"")
        assert message["headers"]["id"] == task["id"]
        assert (await http.get(task["url"])).json()["state"] == "queued"


async def test_one_idempotency_key_is_one_task(open_gateway: OpenGateway, broker: Redis) -> None:
    key = {"Idempotency-Key": "order-7731"}
    async with open_gateway() as http:
        first, second = [await http.post("/v1/tasks/ocr.recognize", json=BLOB, headers=key) for _ in "ab"]
        assert first.json()["id"] == second.json()["id"]
        assert broker.llen("gpu") == 1
        other = {"image": {"blob": "sha256:" + "1" * 64}}
        refused = await http.post("/v1/tasks/ocr.recognize", json=other, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_mismatch")


async def test_many_are_submitted_at_once_and_listed_by_page(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    async with open_gateway() as http:
        sent = (await http.post("/v1/tasks/ocr.recognize/many", json=[BLOB] * 5)).json()["tasks"]
        assert len({task["id"] for task in sent}) == broker.llen("gpu") == 5
        first = (await http.get("/v1/tasks", params={"limit": 3, "state": "queued"})).json()
        second = (await http.get("/v1/tasks", params={"limit": 3, "cursor": first["next"]})).json()
        ids = [task["id"] for task in (*first["tasks"], *second["tasks"])]
        assert ids[:5] == [task["id"] for task in reversed(sent)]
        bad = await http.get("/v1/tasks", params={"cursor": "bm90IG9uZQ=="})
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request")


async def test_files_are_uploaded_as_they_are(open_gateway: OpenGateway, broker: Redis) -> None:
    async with open_gateway() as http:
        files = [("image", (f"{name}.png", name.encode(), "image/png")) for name in ("one", "two")]
        form = {"request": json.dumps({"min_score": 0.25})}
        sent = await http.post("/v1/tasks/ocr.read/upload", files=files, data=form)
        assert sent.status_code == 202
        assert len(sent.json()["tasks"]) == broker.llen("gpu") == 2
        wrong = await http.post("/v1/tasks/ocr.read/upload", files=files, data={"request": "[]"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
        put = (await http.post("/v1/images", files={"image": ("a.png", b"bytes")})).json()
        assert put["input_path"] == "a.png"
        assert (
            await http.post("/v1/tasks/ocr.read", json={"image": {"blob": put["blob"]}})
        ).status_code == 202


@pytest.mark.parametrize("door", ["", "/many", "/upload"])
async def test_what_ended_within_the_wait_is_answered_with_200(
    open_gateway: OpenGateway, settings: dict[str, Any], door: str
) -> None:
    path = f"/v1/tasks/ocr.recognize{door}"
    files = [("image", (name, name.encode(), "image/png")) for name in ("one", "two")]
    sent: dict[str, dict[str, Any]] = {
        "": {"json": BLOB},
        "/many": {"json": [BLOB, BLOB]},
        "/upload": {"files": files},
    }

    async def states(http: httpx.AsyncClient, wait: float) -> tuple[int, set[str], list[str]]:
        answered = await http.post(path, params={"wait": wait}, **sent[door])
        tasks = answered.json().get("tasks", [answered.json()])
        texts = [task["result"]["rec_text"] for task in tasks if "result" in task]
        return answered.status_code, {task["state"] for task in tasks}, texts

    async with open_gateway() as http:
        assert await states(http, 0) == (202, {"queued"}, [])
        assert await states(http, 0.05) == (202, {"queued"}, [])
        with Answerer(settings["broker_url"], lambda _: {"rec_text": "seven", "rec_score": 1.0}):
            texts = ["seven"] if door == "" else ["seven"] * 2
            assert await states(http, 60) == (200, {"succeeded"}, texts)


async def test_of_several_that_are_waited_for_one_may_be_left(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    given: dict[str, Any] = {"json": [BLOB, BLOB], "headers": {"Idempotency-Key": "two"}}
    async with open_gateway() as http:
        first, _ = (await http.post("/v1/tasks/ocr.recognize/many", **given)).json()["tasks"]
        failure = {"exc_type": "ImageCorrupt", "exc_message": ["It is cut off."]}
        answer(broker, first["id"], "FAILURE", failure)
        again = await http.post("/v1/tasks/ocr.recognize/many", params={"wait": 0.05}, **given)
        assert again.status_code == 202
        assert [task["state"] for task in again.json()["tasks"]] == ["failed", "queued"]


async def test_a_cancelled_task_is_cancelled_even_where_the_broker_forgot_it(
    open_gateway: OpenGateway, broker: Redis
) -> None:
    async with open_gateway() as http:
        task = (await http.post("/v1/tasks/ocr.recognize", json=BLOB)).json()
        assert (await http.post(f"{task['url']}/cancel")).status_code == 202
        assert broker.exists(f"paddlewheel:cancelled:{task['id']}")
        broker.flushdb()
        assert (await http.post(f"{task['url']}/cancel")).json()["state"] == "cancelled"
        gone = await http.get(f"{task['url']}/result")
        assert (gone.status_code, gone.json()["code"]) == (409, "task_cancelled")


async def test_events_tell_each_change_until_the_end(open_gateway: OpenGateway, broker: Redis) -> None:
    async with open_gateway() as http:
        task = (await http.post("/v1/tasks/ocr.recognize", json=BLOB)).json()
        answer(broker, task["id"], result={"rec_text": "seven", "rec_score": 1.0})
        events = (await http.get(f"{task['url']}/events")).text
        kinds = [line for line in events.splitlines() if line.startswith("event:")]
        last = json.loads(events.strip().rsplit("data: ", 1)[1])
        assert kinds == ["event: state"] * len(kinds)
        assert (last["state"], last["result"]["rec_text"]) == ("succeeded", "seven")


async def test_an_unknown_id_is_not_found_and_not_pending(open_gateway: OpenGateway) -> None:
    async with open_gateway() as http:
        for path in ("", "/result", "/events"):
            answered = await http.get(f"/v1/tasks/4a3cbf3e{path}")
            assert (answered.status_code, answered.json()["code"]) == (404, "task_not_found")
        assert (await http.post("/v1/tasks/4a3cbf3e/cancel")).status_code == 404


async def test_two_gateways_sweep_one_at_a_time(
    open_gateway: OpenGateway, broker: Redis, monkeypatch: Any
) -> None:
    monkeypatch.setattr("gateway.sweeper.LOST_AFTER", 0.2)
    async with open_gateway() as one, open_gateway() as other:
        tasks = (await one.post("/v1/tasks/ocr.recognize/many", json=[BLOB] * 20)).json()["tasks"]
        broker.flushdb()
        async with asyncio.timeout(60):
            while broker.llen("gpu") < len(tasks):
                await asyncio.sleep(0.02)
        ids = [json.loads(raw)["headers"]["id"] for raw in broker.lrange("gpu", 0, -1)]
        assert sorted(ids) == sorted(task["id"] for task in tasks)
        assert (await other.get(tasks[0]["url"])).json()["state"] == "queued"


async def test_one_of_several_gateways_sweeps_until_it_ends_and_then_another(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[Sweeper] = []
    sweep = Sweeper.round

    async def noted(sweeper: Sweeper) -> tuple[int, int]:
        rounds.append(sweeper)
        return await sweep(sweeper)

    async def several_rounds() -> set[int]:
        rounds.clear()
        async with asyncio.timeout(60):
            while len(rounds) < 5:
                await asyncio.sleep(0.01)
        return set(map(id, rounds))

    monkeypatch.setattr(Sweeper, "round", noted)
    async with contextlib.AsyncExitStack() as others:
        async with open_gateway():
            before = await several_rounds()
            for _ in range(2):
                await others.enter_async_context(open_gateway())
            assert await several_rounds() == before
        after = await several_rounds()
        assert len(after) == 1
        assert after != before
