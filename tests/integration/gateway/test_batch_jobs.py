"""Batch jobs over HTTP, up to the rows that the workers' scheduler reads."""

from typing import Any

from database.pool import Database
from gateway.keys import hash_key
from job_store.api_keys import ApiKeys
from job_store.batch_jobs import BatchJobStore
from tests.integration.gateway.conftest import OpenGateway

JOB = {"manifest": "/data/list.txt", "sink": "/data/result.txt", "options": {"top_k": 5}}


async def test_a_job_is_submitted_listed_stopped_and_taken_up_again(
    open_gateway: OpenGateway, settings: dict[str, Any]
) -> None:
    async with open_gateway() as client:
        submitted = await client.post("/v1/batch-jobs", json=JOB, headers={"Idempotency-Key": "one"})
        assert submitted.status_code == 202
        url = submitted.headers["Location"]
        again = await client.post("/v1/batch-jobs", json=JOB, headers={"Idempotency-Key": "one"})
        assert again.json()["id"] == submitted.json()["id"]
        other = {**JOB, "sink": "/data/other.txt"}
        refused = await client.post("/v1/batch-jobs", json=other, headers={"Idempotency-Key": "one"})
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_mismatch")
        second = (await client.post("/v1/batch-jobs", json=other)).json()["id"]
        page = (await client.get("/v1/batch-jobs", params={"limit": 1})).json()
        assert [job["id"] for job in page["jobs"]] == [second]
        rest = (await client.get("/v1/batch-jobs", params={"before": page["next"]})).json()
        assert submitted.json()["id"] in [job["id"] for job in rest["jobs"]]
        shown = (await client.get(url)).json()
        assert (shown["state"], shown["lines"], shown["options"]) == ("planning", None, {"top_k": 5})
        assert (await client.post(f"{url}/resume")).json()["code"] == "batch_job_state"
        assert (await client.post(f"{url}/cancel")).json()["state"] == "cancelled"
        assert (await client.post(f"{url}/resume")).json()["state"] == "planning"
        assert (await client.post(f"{url}/retry")).status_code == 409
    jobs = BatchJobStore(Database(settings["database_url"]))
    assert [job.sink for job in jobs.active()] == [JOB["sink"], other["sink"]]
    for job in jobs.active():
        jobs.cancel(job.id)


async def test_a_job_is_its_owners_alone(open_gateway: OpenGateway, settings: dict[str, Any]) -> None:
    keys = ApiKeys(Database(settings["database_url"]))
    for name, scope in (("mine", "jobs"), ("other", "jobs"), ("weak", "tasks")):
        keys.add(name, hash_key(f"pw_{name}"), [scope])
    mine, other, weak = ({"X-API-Key": f"pw_{name}"} for name in ("mine", "other", "weak"))
    async with open_gateway(gateway_anonymous_scopes="") as client:
        assert (await client.post("/v1/batch-jobs", json=JOB)).status_code == 401
        assert (await client.post("/v1/batch-jobs", json=JOB, headers=weak)).status_code == 403
        url = (await client.post("/v1/batch-jobs", json=JOB, headers=mine)).headers["Location"]
        assert (await client.get(url, headers=mine)).status_code == 200
        for answer in (
            await client.get(url, headers=other),
            await client.post(f"{url}/cancel", headers=other),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "batch_job_not_found")
        assert (await client.get("/v1/batch-jobs", headers=other)).json()["jobs"] == []
        assert (await client.post(f"{url}/cancel", headers=mine)).json()["state"] == "cancelled"


async def test_a_wrong_job_is_refused_before_it_is_accepted(open_gateway: OpenGateway) -> None:
    async with open_gateway() as client:
        for change in (
            {"task": "gallery.build"},
            {"options": {"colour": "blue"}},
            {"options": {"image": "x"}},
            {"options": {"\x00": 1}},
            {"sink": JOB["manifest"]},
            {"sink": "/data/\x00"},
            {"manifest": ""},
            {"shard_size": 0},
        ):
            assert (await client.post("/v1/batch-jobs", json={**JOB, **change})).status_code == 422, change
        assert (await client.get("/v1/batch-jobs/../../etc")).status_code == 404
        assert (await client.get("/v1/batch-jobs/nothing")).status_code in (404, 422)
