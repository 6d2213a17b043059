"""A change of an index that is sent again is the same change, as long as nobody was answered."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from api_client.errors import GalleryNotFound, IdempotencyMismatch
from api_client.galleries import AddedImages, AppendGallery, BuildGallery, ImageOutcome
from gateway.index_operations import IndexOperations
from index_store.database import Database as GalleryDatabase
from index_store.gallery import GallerySpec
from index_store.log import OperationLog
from job_store.database import Database
from job_store.http_indexes import HttpIndexes
from job_store.http_operations import HttpOperations, NewOperation
from tests.integration.client.answering import Answerer
from tests.integration.gateway.conftest import Opened

Tables = tuple[HttpOperations, HttpOperations]

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
def tables(database: Database) -> Iterator[Tables]:
    """Those of two living gateways."""
    one, other = (HttpOperations(database, patience=3600) for _ in range(2))
    for each in (one, other):
        each.live()
    yield one, other
    for each in (one, other):
        each.close()


@pytest.fixture
def table(tables: Tables) -> HttpOperations:
    return tables[0]


def age(database: Database, seconds: float) -> None:
    """Let so much time pass for every operation."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE http_operations SET touched_at = touched_at - make_interval(secs => %s)", (seconds,)
        )


def count(database: Database) -> int:
    with database.transaction() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM http_operations").scalar_one())


def test_equal_builds_of_the_living_are_different_ones(tables: Tables) -> None:
    keys = {table.begin(new(name)).index_key for table, name in zip(tables, "ab", strict=True)}
    assert keys == {"index-a", "index-b"}


def test_what_a_dead_gateway_left_is_taken_over_once_each(tables: Tables) -> None:
    dead, living = tables
    left = [dead.begin(new(name)) for name in "ab"]
    dead.close()
    taken = [living.begin(new(name)) for name in "cde"]
    assert [each.index_key for each in taken] == ["index-a", "index-b", "index-e"]
    # Should it not be dead after all, it has nothing to say any more.
    assert not dead.conclude(left[0])
    assert not dead.drop(left[1])
    assert all(map(living.conclude, taken))


def test_what_nobody_was_answered_is_gone_on_with_when_it_is_sent_again(tables: Tables) -> None:
    one, other = tables
    first = one.begin(new("a"))
    one.release(first)
    assert other.begin(new("b")).id == first.id
    assert other.begin(new("c")).id == "operation-c"


def test_a_machine_that_vanished_without_a_word_is_dead_after_a_while(
    tables: Tables, database: Database
) -> None:
    one, other = tables
    first = one.begin(new("a"))
    age(database, 3500)
    assert other.begin(new("b")).id == "operation-b"
    age(database, 200)
    assert other.begin(new("c")).id == first.id


def test_a_concluded_build_is_nobody_elses(tables: Tables, database: Database) -> None:
    dead, living = tables
    assert dead.conclude(dead.begin(new("a")))
    dead.close()
    assert living.begin(new("b")).index_key == "index-b"
    age(database, 3700)
    # That of the living is too old for a request.
    assert living.abandon(seconds=60) == 1
    living.purge(kept_seconds=60)
    assert HttpIndexes(database).kind("index-a") == "faces"
    assert HttpIndexes(database).kind("index-b") is None


def test_an_addition_takes_its_numbers_once(tables: Tables) -> None:
    dead, living = tables
    dead.answered(dead.begin(new("a")))
    adding = {"kind": None, "index_key": "index-a", "images": 2, "identity": "added"}
    first = dead.begin(new("b", **adding))
    other = living.begin(new("c", **adding))
    # Whether its caller was answered, nobody knows: it is not stored twice.
    assert dead.conclude(first)
    dead.close()
    again = living.begin(new("d", **adding))
    assert (first.first_number, other.first_number, again.first_number) == (3, 5, 3)
    assert (again.id, again.done) == (first.id, True)
    with pytest.raises(GalleryNotFound):
        living.begin(new("e", identity="lost", kind=None, index_key="nowhere"))


def test_a_callers_own_key_is_one_operation_for_everybody_and_known_after_its_answer(
    tables: Tables, database: Database
) -> None:
    one, other = tables
    first = one.begin(new("a", kept=True))
    assert other.begin(new("b", kept=True)) == first
    assert one.conclude(first)
    one.answered(first)
    one.purge(kept_seconds=60)
    assert other.begin(new("c", kept=True)).done
    with pytest.raises(IdempotencyMismatch):
        one.begin(new("d", digest="other images", kept=True))
    age(database, 61)
    one.purge(kept_seconds=60)
    assert count(database) == 0


def test_a_failed_build_is_dropped_and_sent_again_it_is_another(
    table: HttpOperations, database: Database
) -> None:
    for kept in (False, True):
        name = f"first-{kept}"
        failed = table.begin(new(name, kept=kept))
        assert table.drop(failed)
        assert HttpIndexes(database).kind(f"index-{name}") is None
        assert not table.conclude(failed)
        again = table.begin(new(f"again-{kept}", kept=kept))
        assert again.id == f"operation-again-{kept}"
        assert table.conclude(again)
        assert not table.drop(again)


def test_what_the_living_do_is_not_given_up(table: HttpOperations, database: Database) -> None:
    table.begin(new("a"))
    age(database, 3500)
    assert table.abandon(seconds=60) == 0
    table.purge(kept_seconds=7200)
    assert count(database) == 1


class Caller:
    """One who asks; `gone` says whether they hung up meanwhile."""

    key_id = ""
    idempotency_key = None

    def __init__(self, *, hung_up: bool) -> None:
        self._hung_up = hung_up
        self.afterwards: list[Any] = []

    async def gone(self) -> bool:
        return self._hung_up

    def after_answer(self, *work: Any) -> None:
        self.afterwards.append(work)


async def test_who_hung_up_and_sends_it_again_gets_what_was_done(table: HttpOperations) -> None:
    unused: Any = None
    operations = IndexOperations(unused, table, unused, timeout=60)
    deaf: Any = Caller(hung_up=True)
    listening: Any = Caller(hung_up=False)
    images = [("sha256:" + "0" * 64, "Grace Hopper")]
    first = await operations.build(deaf, "faces", images)
    await operations.conclude(first, deaf)
    assert deaf.afterwards == []
    again = await operations.build(listening, "faces", images)
    assert again == first
    await operations.conclude(again, listening)
    ((forget, *what),) = listening.afterwards
    await forget(*what)
    assert (await operations.build(listening, "faces", images)).id != first.id


async def test_an_index_whose_gateway_was_killed_is_dropped_however_late_its_task_runs(
    opened: Opened, database: Database, table: HttpOperations, broker: Redis, gateway_database: str
) -> None:
    abandoned = table.begin(new("a"))
    galleries = GalleryDatabase(gateway_database)
    log = OperationLog(galleries)
    table.close()
    age(database, 61)
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


async def test_one_key_is_one_build_wherever_it_is_sent_meanwhile(
    opened: Opened, settings: dict[str, Any], broker: Redis
) -> None:
    named = {"Idempotency-Key": "portraits-7731"}
    worker = Worker()
    async with opened(gateway_timeout=60) as one, opened(gateway_timeout=60) as other:
        waiting = [asyncio.create_task(build(http, **named)) for http in (one, other)]
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
