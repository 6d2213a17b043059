"""What the OpenAPI document lists is tried door by door: none is forgotten when one is added."""

import asyncio
import copy
import json
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import OpenGateway
from tests.integration.gateway.test_abuse import IDS, MALFORMED, judged

DOCUMENT: Final = create_app(
    GatewaySettings.model_validate({"broker_url": "redis://nowhere", "database_url": "postgresql://"})
).openapi()

PRIVATE: Final = (
    "https://127.0.0.1/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:10.0.0.1]/a.png",
)
ELSEWHERE: Final = ("../../etc/passwd", "..%2f..%2fetc", "/etc/passwd", "a\x00b")
WRONG: Final = {"of": ["another", "kind"]}
PICTURE: Final = "a picture goes here"
WORDS: Final = {
    "image": PICTURE,
    "file": PICTURE,
    "blob": "sha256:" + "0" * 64,
    "manifest": "/data/list.txt",
    "sink": "/data/result.txt",
}
"""A text that fits, for each field that takes no other."""

Path = tuple[str | int, ...]


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference means; of several kinds the first."""
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            schema = schema["anyOf"][0]
        else:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def least(schema: Mapping[str, Any], name: str = "") -> Any:
    """The least that fits: what is required, and one element of every list."""
    schema = resolved(schema)
    kind = schema.get("type")
    if {"base64", "url", "blob"} <= set(schema.get("properties", ())):
        return {"base64": PICTURE}
    if kind == "object":
        wanted = {*schema.get("required", ()), *(set(schema.get("properties", ())) & {"items"})}
        return {each: least(schema["properties"][each], each) for each in sorted(wanted)}
    if kind == "array":
        return [least(schema.get("items") or schema["prefixItems"][0], name)]
    if "const" in schema or "enum" in schema:
        return schema.get("const") or schema["enum"][0]
    return {"integer": 1, "number": 0.5, "boolean": True}.get(kind or "", WORDS.get(name, "fitting"))


def doors() -> Iterator[tuple[str, Any]]:
    """Every path that takes JSON, with the least that fits it."""
    for path, operations in DOCUMENT["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            yield path, least(content["application/json"]["schema"])


DOORS: Final = dict(doors())


def texts(body: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a body, with the way to it."""
    if isinstance(body, str):
        yield path, body
    elif isinstance(body, (dict, list)):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from texts(value, (*path, key))


def changed(body: Any, path: Path, value: Any) -> Any:
    """The body with another value there. A picture under `base64` gives way to one under `url`."""
    made = copy.deepcopy(body)
    place = made
    for key in path[:-1]:
        place = place[key]
    if path[-1] == "base64" and str(value).startswith("https:"):
        del place["base64"]
        place["url"] = value
    else:
        place[path[-1]] = value
    return made


async def some_at_a_time(sending: Sequence[Coroutine[Any, Any, httpx.Response]]) -> list[httpx.Response]:
    """All answers, in order. Each has its time: they do not wait for all of the others."""
    turn = asyncio.Semaphore(16)

    async def one(each: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
        async with turn:
            return await each

    return await asyncio.gather(*map(one, sending))


async def post(http: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
    content = json.dumps(body)
    return await judged(http.post(path, content=content, headers={"Content-Type": "application/json"}))


@pytest.fixture
def quick() -> dict[str, Any]:
    return {"gateway_timeout": 0.3, "gateway_max_queue_age": 0, "url_inputs": True, "url_timeout": 1}


def pictures() -> Iterator[tuple[str, Path]]:
    """Every field that takes a picture."""
    for door, body in DOORS.items():
        for path, text in texts(body):
            if text == PICTURE:
                yield door, path


def test_the_doors_are_those_that_there_are() -> None:
    taking = {door for door, _ in pictures()}
    assert {"/face-recognition-index-build", "/shitu-infer", "/ocr", "/v1/galleries"} <= taking
    assert {"/v1/tasks/ocr.read/many", "/v1/tasks/gallery.append", "/v1/galleries/append"} <= taking
    assert {"/v1/batch-jobs", "/v1/galleries/search"} <= set(DOORS) - taking


@pytest.fixture
def open_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every index exists, so that a request reaches its pictures."""

    async def known(*_: object) -> None:
        return None

    monkeypatch.setattr("gateway.recognition.RecognitionIndex._require_index", known)


@pytest.mark.usefixtures("open_indexes")
async def test_no_door_fetches_from_a_private_address(
    open_gateway: OpenGateway, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    async with open_gateway(**quick) as http:
        monkeypatch.setattr("paddlewheel.sources.url_fetcher.socket.create_connection", connected.append)
        for door, path in pictures():
            for url in PRIVATE:
                answer = await post(http, door, changed(DOORS[door], path, url))
                assert answer.status_code == 422, (door, url, answer.text)
                assert answer.json().get("code", "url_refused") == "url_refused", (door, url)
    assert connected == []


@pytest.mark.usefixtures("open_indexes")
async def test_no_door_takes_base64_that_is_none(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    async with open_gateway(**quick) as http:
        for door, path in pictures():
            for text in (MALFORMED[0], MALFORMED[4], MALFORMED[-2]):
                answer = await post(http, door, changed(DOORS[door], path, text))
                assert answer.status_code == 422, (door, text, answer.text)


async def test_a_value_of_another_kind_is_refused_at_every_door(
    open_gateway: OpenGateway, quick: dict[str, Any]
) -> None:
    async with open_gateway(**quick) as http:
        for door, body in DOORS.items():
            fields = body if isinstance(body, dict) else body[0]
            for name in fields:
                path: Path = (name,) if isinstance(body, dict) else (0, name)
                answer = await post(http, door, changed(body, path, WRONG))
                assert answer.status_code == 422, (door, name, answer.text)
            assert (await post(http, door, WRONG)).status_code == 422, door


async def test_no_text_of_any_body_leads_elsewhere(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    async with open_gateway(**quick) as http:
        tried = [
            (door, changed(body, path, name))
            for door, body in DOORS.items()
            for path, _ in texts(body)
            for name in ELSEWHERE
        ]
        answers = await some_at_a_time([post(http, door, body) for door, body in tried])
    for (door, body), answer in zip(tried, answers, strict=True):
        # Workers check whether labels and keys exist, and none runs here.
        assert answer.status_code in (202, 404, 422, 504), (door, body, answer.text)


async def test_no_id_of_any_path_leads_elsewhere(open_gateway: OpenGateway, quick: dict[str, Any]) -> None:
    paths = [
        (method.upper(), path.partition("{")[0], path.partition("}")[2])
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
        if "{" in path
    ]
    assert len(paths) >= 10
    async with open_gateway(**quick) as http:
        for method, before, after in paths:
            sending = [
                judged(http.request(method, f"{before}{quote(name, safe='')}{after}")) for name in IDS if name
            ]
            for answer in await some_at_a_time(sending):
                assert answer.status_code < 500 or answer.status_code == 504, (method, before, after)
