"""A change of an index that is sent again is the same change, as long as nobody was answered."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from redis import Redis

from api_client.errors import GalleryNotFound, IdempotencyMismatch
from api_client.galleries import AddedImages, AppendGallery, BuildGallery, ImageOutcome
from index_store.database import Database as GalleryDatabase
from index_store.gallery import GallerySpec
from index_store.log import OperationLog
from job_store.database import Database
from job_store.http_indexes import HttpIndexes
from job_store.http_operations import HttpOperations, NewOperation
from tests.integration.client.answering import Answerer
from tests.integration.gateway.conftest import Opened

IMAGE = base64.b64encode(b"an image").decode()
PAIRS = [{"image": IMAGE, "label": "Grace Hopper"}, {"image": IMAGE, "label": "Ada Lovelace"}]


def new(name: str = "a", **changes: Any) -> NewOperation:
    given: dict[str, Any] = {
        "id": f"operation-{name}",
        "identity": "who and what",
        "digest": "images",
        "index_key": f"index-{name}",
        "kind": "faces",
        "images": 3,
        "kept": False,
    }
    return NewOperation(**given | changes)


@pytest.fixture
def database(opened: Opened, gateway_database: str) -> Database:
    """After `opened`, which empties the tables."""
    del opened
    return Database(gateway_database)


@pytest.fixture
def table(database: Database) -> HttpOperations:
    return HttpOperations(database)


def age(database: Database, seconds: float) -> None:
    """Let so much time pass for every operation."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE http_operations SET touched_at = touched_at - make_interval(secs => %s)", (seconds,)
        )


def count(database: Database) -> int:
    with database.transaction() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM http_operations").scalar_one())


def test_a_build_that_is_sent_again_is_joined_until_it_was_answered(table: HttpOperations) -> None:
    first = table.begin(new("a"))
    again = table.begin(new("b"))
    assert (again.id, again.index_key, again.attempt) == (first.id, "index-a", 2)
    assert table.conclude(again)
    late = table.begin(new("c"))
    assert (late.id, late.done) == (first.id, True)
    table.answered(again)
    assert table.conclude(first)
    other = table.begin(new("d"))
    assert (other.index_key, other.attempt, other.done) == ("index-d", 1, False)


def test_an_addition_that_is_sent_again_takes_its_numbers_once(
    table: HttpOperations, database: Database
) -> None:
    table.begin(new("a"))
    adding = {"kind": None, "index_key": "index-a", "images": 2}
    first = table.begin(new("b", identity="added", **adding))
    again = table.begin(new("c", identity="added", **adding))
    other = table.begin(new("d", identity="others", **adding))
    assert (first.first_number, again.first_number, other.first_number) == (3, 3, 5)
    with pytest.raises(GalleryNotFound):
        table.begin(new("e", identity="lost", kind=None, index_key="nowhere"))
    assert count(database) == 3


def test_one_key_for_another_request_is_refused_and_a_kept_one_is_known_after_its_answer(
    table: HttpOperations, database: Database
) -> None:
    first = table.begin(new("a", kept=True))
    table.conclude(first)
    table.answered(first)
    table.purge(seconds=0, kept_seconds=60)
    assert table.begin(new("b", kept=True)).id == first.id
    with pytest.raises(IdempotencyMismatch):
        table.begin(new("c", digest="other images", kept=True))
    age(database, 61)
    table.purge(seconds=0, kept_seconds=60)
    assert count(database) == 0


def test_a_failed_build_is_dropped_by_its_newest_attempt_alone(
    table: HttpOperations, database: Database
) -> None:
    first, again = table.begin(new("a")), table.begin(new("b"))
    assert not table.drop(first)
    assert HttpIndexes(database).kind("index-a") == "faces"
    assert table.drop(again)
    assert HttpIndexes(database).kind("index-a") is None
    assert not table.conclude(first)
    assert table.begin(new("c")).attempt == 1


def test_a_concluded_build_is_never_dropped(table: HttpOperations, database: Database) -> None:
    first, again = table.begin(new("a")), table.begin(new("b"))
    assert table.conclude(first)
    assert not table.drop(again)
    age(database, 3600)
    assert table.abandon(seconds=60) == 0
    table.purge(seconds=60, kept_seconds=60)
    assert (count(database), HttpIndexes(database).kind("index-a")) == (0, "faces")


def test_what_is_under_way_is_not_forgotten(table: HttpOperations, database: Database) -> None:
    table.begin(new("a"))
    age(database, 59)
    assert table.abandon(seconds=60) == 0
    table.purge(seconds=60, kept_seconds=3600)
    assert table.begin(new("b")).attempt == 2


async def test_an_index_whose_gateway_was_killed_is_dropped_however_late_its_task_runs(
    opened: Opened, database: Database, table: HttpOperations, broker: Redis, gateway_database: str
) -> None:
    abandoned = table.begin(new("a"))
    galleries = GalleryDatabase(gateway_database)
    log = OperationLog(galleries)
    age(database, 3600)
    assert table.abandon(seconds=60) == 1
    # Its gateway's task was still waiting in the queue.
    log.create(abandoned.index_key, GallerySpec(dimension=4))
    age(database, 3600)
    async with opened() as _:
        async with asyncio.timeout(30):
            while not broker.llen("index"):
                await asyncio.sleep(0.02)
        assert json.loads(broker.lindex("index", 0) or b"")["headers"]["task"] == "gallery.delete"
        # What a worker does with it.
        log.delete(abandoned.index_key)
        age(database, 3600)
        async with asyncio.timeout(30):
            while count(database):
                await asyncio.sleep(0.02)
    galleries.close()


class Worker:
    """Notes what is asked of galleries, and says that all of it was done."""

    def __init__(self) -> None:
        self.requests: list[BuildGallery | AppendGallery] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        asked = (BuildGallery if "kind" in request else AppendGallery).model_validate(request)
        self.requests.append(asked)
        outcomes = tuple(ImageOutcome(status="indexed", label=item.label) for item in asked.items)
        return AddedImages(
            gallery=asked.gallery, operation_id=asked.operation_id or "", generation=1, outcomes=outcomes
        ).model_dump(mode="json")


async def build(http: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    answer = await http.post(
        "/face-recognition-index-build", json={"imageLabelPairs": PAIRS}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


async def test_an_answered_request_is_another_one_unless_it_has_a_key(
    opened: Opened, settings: dict[str, Any]
) -> None:
    worker = Worker()
    async with opened(gateway_timeout=60) as http, opened(gateway_timeout=60) as other:
        with Answerer(settings["broker_url"], worker.answer):
            assert (await build(http))["indexKey"] != (await build(http))["indexKey"]
            named = {"Idempotency-Key": "portraits-7731"}
            key = (await build(http, **named))["indexKey"]
            assert (await build(other, **named))["indexKey"] == key
            fewer = await http.post(
                "/face-recognition-index-build", json={"imageLabelPairs": PAIRS[:1]}, headers=named
            )
            assert (fewer.status_code, fewer.json()["errorCode"]) == (409, 409)
            added = {"imageLabelPairs": PAIRS, "indexKey": key}
            for _ in range(2):
                answer = await http.post("/face-recognition-index-add", json=added, headers=named)
                assert answer.status_code == 200
    steps = [each for each in worker.requests if isinstance(each, AppendGallery) and each.gallery == key]
    numbers = {each.operation_id: [item.external_id for item in each.items] for each in steps}
    assert len(steps) == 4
    assert sorted(numbers.values()) == [["0", "1"], ["2", "3"]]


async def test_a_build_that_is_sent_to_another_gateway_meanwhile_is_the_same_one(
    opened: Opened, settings: dict[str, Any], broker: Redis
) -> None:
    worker = Worker()
    async with opened(gateway_timeout=60) as one, opened(gateway_timeout=60) as other:
        waiting = [asyncio.create_task(build(http)) for http in (one, other)]
        async with asyncio.timeout(30):
            while broker.llen("gpu") < 2:
                await asyncio.sleep(0.02)
        with Answerer(settings["broker_url"], worker.answer):
            results = await asyncio.gather(*waiting)
    assert results[0]["indexKey"] == results[1]["indexKey"]
    assert len({each.operation_id for each in worker.requests}) == 2
    assert len(worker.requests) == 4


async def test_a_build_that_nobody_does_is_dropped(opened: Opened, database: Database, broker: Redis) -> None:
    async with opened(gateway_timeout=0.3) as http:
        answer = await http.post("/face-recognition-index-build", json={"imageLabelPairs": PAIRS})
        assert answer.status_code == 504
        with database.transaction() as connection:
            assert connection.exec_driver_sql("SELECT key FROM http_indexes").all() == []
        (message,) = broker.lrange("index", 0, -1)
        assert json.loads(message)["headers"]["task"] == "gallery.delete"
