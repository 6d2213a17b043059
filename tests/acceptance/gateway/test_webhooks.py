"""Webhooks: a receiver is notified of a task's end, with a signature that it can verify."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from gateway.webhooks import secret_of

Received = "queue.Queue[tuple[dict[str, str], bytes]]"


@pytest.fixture
def receiver() -> Iterator[tuple[str, Any]]:
    """Its address and what it gets; the first delivery is refused."""
    received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
    refused = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((dict(self.headers), body))
            self.send_response(204 if refused.is_set() else 500)
            self.end_headers()
            refused.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_sent_again_until_its_receiver_accepts_it(
    gateway_url: str, receiver: tuple[str, Any], good_line: bytes
) -> None:
    url, received = receiver
    image = {"base64": base64.b64encode(good_line).decode()}
    sent = requests.post(
        f"{gateway_url}/v1/tasks/ocr.recognize",
        params={"webhook": url},
        json={"image": image},
        timeout=60,
    )
    assert sent.status_code == 202
    task = sent.json()
    for _ in range(2):
        headers, body = received.get(timeout=120)
        given = {name.lower(): value for name, value in headers.items()}
        signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + body
        secret = base64.b64decode(secret_of("tests-only", "").removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert given["webhook-signature"] == f"v1,{expected}"
        event = json.loads(body)
        assert (event["type"], event["data"]["id"]) == ("task.succeeded", task["id"])
        assert "page 7731" not in body.decode()


def test_a_webhook_to_a_private_address_is_refused(gateway_url: str, good_line: bytes) -> None:
    image = {"base64": base64.b64encode(good_line).decode()}
    for address in ("ftp://example.com/", "https://user:word@example.com/", "no address"):
        answer = requests.post(
            f"{gateway_url}/v1/tasks/ocr.recognize",
            params={"webhook": address},
            json={"image": image},
            timeout=60,
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "url_refused")
