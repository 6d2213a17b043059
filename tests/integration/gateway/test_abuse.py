"""Requests that mean harm: each gets a typed answer, soon, that tells nothing of the inside."""

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway.images import FETCHES
from paddlewheel.errors import UrlRefused
from paddlewheel.sources.url_fetcher import UrlFetcher, UrlPolicy
from tests.integration.gateway.conftest import OpenGateway

SOON = 4.0
"""Seconds that no answer takes; a task that nobody runs is given up after one."""

INSIDE = re.compile(
    r"Traceback|psycopg|sqlalchemy|pydantic|redis\.|/site-packages|/gateway/|\.py\b|SELECT |0x[0-9a-f]{6}",
    re.IGNORECASE,
)
"""What nobody outside is to read."""

IDS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..\\..\\windows",
    "/etc/passwd",
    "file:///etc/passwd",
    "a%00b",
    "a\x00b",
    "$(id)",
    "'; DROP TABLE galleries; --",
    "{0.__class__}",
    "\u202egalleries",
    "x" * 5000,
    "",
    ".",
    "..",
)
PRIVATE = (
    "http://127.0.0.1/a.png",
    "https://127.0.0.1/a.png",
    "https://localhost/a.png",
    "https://0.0.0.0/a.png",
    "https://[::1]/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[64:ff9b::7f00:1]/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/a.png",
    "https://192.168.1.1/a.png",
    "https://100.64.0.1/a.png",
    "https://2130706433/a.png",
    "https://0x7f.1/a.png",
    "https://user:word@127.0.0.1/a.png",
    "https://127.0.0.1:6379/",
)
WRONG: Sequence[Any] = (None, 7, -1, 1e308, True, [], {}, "", "a\x00b", "\U0001f600", "x" * 300_000, [[[[]]]])
MALFORMED = (
    "=",
    "====",
    "A",
    "A===",
    "!!!!",
    "aGk",
    "data:image/png;base64",
    "data:,",
    "\u00e9" * 8,
    " " * 9,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


async def judged(sending: Any) -> httpx.Response:
    """The answer, which has to come soon, to be no 500 and to tell nothing of the inside."""
    async with asyncio.timeout(SOON):
        answer: httpx.Response = await sending
    assert answer.status_code not in (500, 501, 502), answer.text
    if answer.is_error:
        assert not INSIDE.search(answer.text), answer.text
        assert len(answer.text) < 20_000
    return answer


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As bytes: whoever means harm is not held to ASCII."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


@pytest.fixture
def quick() -> dict[str, Any]:
    return {"gateway_timeout": 0.3, "gateway_max_queue_age": 0, "url_timeout": 1, "url_inputs": True}


async def test_an_id_that_leads_elsewhere_leads_nowhere(
    open_gateway: OpenGateway, quick: dict[str, Any]
) -> None:
    async with open_gateway(**quick) as http:
        for name in IDS:
            await judged(http.get(f"/v1/tasks/{quote(name, safe='')}"))
            for folder in ("tasks", "galleries"):
                for tail in ("", "/result", "/events"):
                    target = f"/v1/{folder}/{quote(name)}{tail}"
                    await judged(http.get(target))
                await judged(http.delete(f"/v1/{folder}/{quote(name)}"))
            await judged(http.post(f"/v1/tasks/{quote(name)}/cancel"))
            await judged(http.get("/v1/tasks", params={"cursor": name, "name": name}))
            await judged(http.get("/v1/galleries", params={"after": name}))


async def test_a_key_that_leads_elsewhere_names_no_index(
    open_gateway: OpenGateway, quick: dict[str, Any]
) -> None:
    image = base64.b64encode(b"no image").decode()
    async with open_gateway(**quick) as http:
        for key in (*IDS, "a\ud800"):
            fields = {"indexKey": key, "image": image, "ids": [0]}
            fields["imageLabelPairs"] = [{"image": image, "label": key}]
            for door in ("face-recognition-infer", "face-recognition-index-add", "shitu-index-remove"):
                answer = await judged(http.post(f"/{door}", content=json.dumps(fields)))
                assert answer.status_code in (404, 422), (door, key)
            for task in ("gallery.describe", "gallery.delete", "gallery.export", "gallery.import"):
                body = {"gallery": key, "folder": key, "source": key}
                answer = await judged(http.post(f"/v1/tasks/{task}", content=json.dumps(body)))
                assert answer.status_code in (202, 422), (task, key)
            given = json.dumps({"gallery": "g", "folder": key})
            export = await judged(http.post("/v1/galleries/export", content=given))
            assert export.status_code in (422, 504), key


async def test_an_address_within_is_never_asked(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    async with open_gateway(**quick, webhook_secret="s") as http:
        for url in PRIVATE:
            task = await judged(http.post("/v1/tasks/ocr.recognize", json={"image": {"url": url}}))
            assert (task.status_code, task.json()["code"]) == (422, "url_refused"), url
            for door, field in (("ocr", "file"), ("text-recognition", "image"), ("shitu-infer", "image")):
                answer = await judged(http.post(f"/{door}", json={field: url, "indexKey": "k"}))
                assert answer.status_code == 422, (door, url)
        for url in (
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "https://user:word@example.org/",
            "https://",
            "https://127.0.0.1/hook",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::ffff:10.0.0.1]:8443/",
        ):
            answer = await judged(
                http.post(
                    "/v1/tasks/ocr.recognize",
                    params={"webhook": url},
                    json={"image": {"blob": "sha256:" + "0" * 64}},
                )
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "url_refused"), url


async def test_a_name_that_changes_its_mind_is_asked_once(
    open_gateway: OpenGateway, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connected: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        del port
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(address: tuple[str, int], timeout: float) -> Any:
        del timeout
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("paddlewheel.sources.url_fetcher.socket.create_connection", connect)
    monkeypatch.setattr("gateway.services.UrlFetcher", lambda policy: UrlFetcher(policy, resolver=resolver))
    async with open_gateway(**quick) as http:
        body = {"image": {"url": "https://rebinding.example/a.png"}}
        first = await judged(http.post("/v1/tasks/ocr.recognize", json=body))
        assert (asked, connected) == (["rebinding.example"], ["93.184.215.14"])
        assert first.json()["code"] == "url_unavailable"
        second = await judged(http.post("/v1/tasks/ocr.recognize", json=body))
        assert second.json()["code"] == "url_refused"
        assert connected == ["93.184.215.14"]


async def test_servers_that_never_answer_hold_up_nobody_else(
    open_gateway: OpenGateway, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answers = threading.Semaphore(0), threading.Event()

    def fetch(*_: object) -> bytes:
        begun.release()
        assert answers.wait(60)
        return b"an image"

    monkeypatch.setattr(UrlFetcher, "fetch", fetch)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(FETCHES))
    body = {"image": {"url": "https://slow.example/a.png"}}
    async with open_gateway(**quick) as http:
        sent = [asyncio.create_task(http.post("/v1/tasks/ocr.recognize", json=body)) for _ in range(20)]
        async with asyncio.timeout(60):
            for _ in range(FETCHES):
                while not begun.acquire(blocking=False):
                    await asyncio.sleep(0.01)
        try:
            assert (await judged(http.get("/v1/galleries"))).status_code == 200
        finally:
            answers.set()
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}


def test_a_webhooks_host_is_resolved_when_it_is_sent() -> None:
    fetcher = UrlFetcher(UrlPolicy(timeout=1), resolver=lambda *_: ["169.254.169.254"])
    with pytest.raises(UrlRefused):
        fetcher.post("https://hooks.example/", b"{}", {})


async def test_base64_that_is_none_is_refused(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    async with open_gateway(**quick) as http:
        for text in MALFORMED:
            for path, body in (
                ("/ocr", {"file": text}),
                ("/image-classification", {"image": text}),
                ("/v1/tasks/ocr.recognize", {"image": {"base64": text}}),
            ):
                answer = await judged(http.post(path, json=body))
                # What can be decoded is for the workers to judge; none is there.
                assert answer.status_code in (202, 422, 504), (path, text)


async def test_values_of_any_kind_are_refused_in_words(
    open_gateway: OpenGateway, quick: dict[str, Any]
) -> None:
    doors = {
        "/face-recognition-infer": ("image", "indexKey", "topk", "detThreshold", "recThreshold", "visualize"),
        "/face-recognition-index-build": ("imageLabelPairs",),
        "/shitu-index-remove": ("indexKey", "ids"),
        "/v1/tasks/gallery.search": ("gallery", "features", "top_k"),
        "/v1/tasks/ocr.read": ("image", "pages", "min_score", "recognition_model"),
        "/v1/galleries": ("gallery", "kind"),
    }
    async with open_gateway(**quick) as http:
        for path, names in doors.items():
            for value in WRONG:
                for name in names:
                    await judged(http.post(path, json={name: value}))
                await judged(http.post(path, json=dict.fromkeys(names, value)))
                await judged(http.post(path, json=value))


async def test_bodies_that_are_no_json_are_refused(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    kinds = ("application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data", "")
    bodies = (b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 20_000, b"1" * 5000, b'"\\ud800"', b"NaN")
    async with open_gateway(**quick) as http:
        for path in ("/ocr", "/v1/tasks/ocr.read", "/v1/tasks/ocr.read/upload", "/v1/images"):
            for kind in kinds:
                for body in bodies:
                    answer = await judged(http.post(path, content=body, headers={"Content-Type": kind}))
                    assert answer.is_client_error


async def test_headers_and_names_of_files_do_no_harm(
    open_gateway: OpenGateway, quick: dict[str, Any]
) -> None:
    async with open_gateway(**quick) as http:
        for name in IDS[:8]:
            await judged(http.post("/v1/images", files={"image": (name, b"abc")}))
            await judged(http.post("/v1/tasks/ocr.read/upload", files={"image": (name, b"abc")}))
        for key in ("' OR 1=1", "pw_" + "x" * 9000, "\u00e9", "\t"):
            answer = await judged(http.get("/v1/tasks", headers=raw({"X-API-Key": key})))
            assert answer.status_code == 401
            forged = {"X-Request-ID": f"a\tb{key[:50]}", "Idempotency-Key": key}
            body = {"image": {"blob": "sha256:" + "0" * 64}}
            await judged(http.post("/v1/tasks/ocr.recognize", json=body, headers=raw(forged)))


async def test_a_body_that_never_ends_is_cut_off(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    async def endless(kind: str) -> Any:
        if kind.startswith("multipart"):
            yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            yield b"A" * 65_536
            await asyncio.sleep(0)

    async with open_gateway(**quick, gateway_max_body_bytes=1 << 20) as http:
        began = time.monotonic()
        for path, kind in (
            ("/ocr", "application/json"),
            ("/v1/images", "multipart/form-data; boundary=x"),
        ):
            answer = await judged(http.post(path, content=endless(kind), headers={"Content-Type": kind}))
            assert answer.status_code == 413
        assert time.monotonic() - began < 2 * SOON


async def test_an_error_that_nobody_foresaw_is_named_by_its_request(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("gateway.tasks_api.read_cursor", broken)
    async with open_gateway() as http:
        answer = await http.get("/v1/tasks", headers={"X-Request-ID": "order-7731-a"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "order-7731-a"
    assert "hunter2" not in answer.text
