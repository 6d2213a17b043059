"""A batch job submitted over HTTP with a webhook: each of its ends is sent, signed and with retries."""

import asyncio
import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import pytest

from database.pool import Database
from gateway.webhooks import secret_of
from job_store.batch_jobs import BatchJobStore
from job_store.webhooks import Webhooks
from paddlewheel.errors import AddressNotFound
from tests.integration.gateway.conftest import OpenGateway

JOB = {"manifest": "/data/list.txt", "sink": "/data/result.txt"}
Received: TypeAlias = "queue.Queue[tuple[dict[str, str], bytes]]"


class Receiver:
    """A server that answers with the next of `statuses`, and then always takes what comes."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: Received = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.put((headers, body))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def next(self) -> tuple[str, dict[str, Any]]:
        """The id and the event of what comes next, which is signed by the secret of the caller's key."""
        headers, body = self.received.get(timeout=60)
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        secret = base64.b64decode(secret_of("master", "").removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        return headers["webhook-id"], json.loads(body)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def hooks() -> dict[str, Any]:
    return {"webhook_secret": "master", "webhook_networks": "127.0.0.0/8", "url_allow_http": True}


async def test_each_end_of_a_batch_job_is_sent_until_it_is_received(
    open_gateway: OpenGateway,
    settings: dict[str, Any],
    receiver: Receiver,
    hooks: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = BatchJobStore(Database(settings["database_url"]))
    log = Webhooks(Database(settings["database_url"]))
    receiver.statuses = [500]
    monkeypatch.setattr("job_store.webhooks.PAUSES", (0.2, 30))
    async with open_gateway(**hooks) as http:
        submitted = await http.post("/v1/batch-jobs", json=JOB, params={"webhook": receiver.url})
        assert submitted.status_code == 202
        job = submitted.json()["id"]
        jobs.fail(job, AddressNotFound("The store has no object of that address."))
        first, event = await asyncio.to_thread(receiver.next)
        assert event["type"] == "batch_job.failed"
        assert event["data"] == {
            "id": job,
            "name": "images.classify",
            "state": "failed",
            "error_code": "address_not_found",
            "lines": None,
            "done_lines": 0,
            "failed_lines": 0,
            "url": f"/v1/batch-jobs/{job}",
        }
        assert (await http.get(event["data"]["url"])).json()["state"] == "failed"
        # An undelivered webhook is sent again unchanged, although the job continues meanwhile.
        assert (await http.post(f"/v1/batch-jobs/{job}/resume")).json()["state"] == "planning"
        again, repeated = await asyncio.to_thread(receiver.next)
        assert (again, repeated["type"]) == (first, "batch_job.failed")
        assert (await http.post(f"/v1/batch-jobs/{job}/cancel")).json()["state"] == "cancelled"
        last, event = await asyncio.to_thread(receiver.next)
        assert event["type"] == "batch_job.cancelled"
        assert last != first
    states = [(each.state, each.attempts, each.last_status) for each in log.of_job(job)]
    assert states == [("delivered", 2, 204), ("delivered", 1, 204)]


async def test_a_webhook_to_a_refused_address_is_refused_before_the_job_is_accepted(
    open_gateway: OpenGateway, hooks: dict[str, Any]
) -> None:
    async with open_gateway(**hooks) as http:
        before = (await http.get("/v1/batch-jobs")).json()["jobs"]
        for url in ("ftp://example.com/", "https://user:word@example.com/", "no address"):
            refused = await http.post("/v1/batch-jobs", json=JOB, params={"webhook": url})
            assert (refused.status_code, refused.json()["code"]) == (422, "url_refused")
        assert (await http.get("/v1/batch-jobs")).json()["jobs"] == before
    async with open_gateway() as http:
        off = await http.post("/v1/batch-jobs", json=JOB, params={"webhook": "https://example.com/"})
        assert (off.status_code, off.json()["code"]) == (422, "url_refused")
