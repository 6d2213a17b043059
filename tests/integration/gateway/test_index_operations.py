"""A change of an index that is sent again is the same change, as long as nobody was answered."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from redis import Redis

from database.pool import Database
from gateway.app import create_app
from gateway.index_operations import IndexOperations
from gateway.problems import Refusal
from gateway.settings import GatewaySettings
from index_store.gallery import GallerySpec
from index_store.operation_log import OperationLog
from job_store.http_indexes import HttpIndexes
from job_store.http_operations import NOBODY, HttpOperations, NewOperation
from paddlewheel.contracts.galleries import AddedImages, AppendGallery, BuildGallery, ImageOutcome
from paddlewheel.errors import GalleryNotFound, IdempotencyMismatch
from tests.integration.client.answering import Answerer
from tests.integration.gateway.conftest import OpenGateway

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
def database(open_gateway: OpenGateway, gateway_database: str) -> Database:
    """After `open_gateway`, which empties the tables."""
    del open_gateway
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
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE http_operations SET touched_at = touched_at - make_interval(secs => %s)", (seconds,)
        )


def gateways(database: Database) -> list[int]:
    """The gateways that work on unfinished operations."""
    with database.begin() as connection:
        return list(connection.exec_driver_sql("SELECT gateway FROM http_operations").scalars())


async def until(fulfilled: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(30):
        while not fulfilled():
            await asyncio.sleep(0.01)


def count(database: Database) -> int:
    with database.begin() as connection:
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


def test_an_unanswered_operation_resumes_when_its_request_is_repeated(tables: Tables) -> None:
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
    dead.mark_answered(dead.begin(new("a")))
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
    same = other.begin(new("b", kept=True))
    assert (same.id, same.index_key) == (first.id, first.index_key)
    assert one.conclude(first)
    one.mark_answered(first)
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


@pytest.mark.parametrize("kept", [False, True])
def test_of_two_requests_at_one_gateway_the_last_decides(table: HttpOperations, kept: bool) -> None:
    first = table.begin(new("a", kept=kept))
    # As its caller hangs up.
    table.release(first)
    second = table.begin(new("b", kept=kept))
    assert second.id == first.id
    assert not table.drop(first)
    table.release(first)
    assert table.conclude(first) == kept
    assert table.conclude(second)
    table.mark_answered(first)
    assert table.conclude(second)


class FakeChange:
    """A request whose caller may disconnect."""

    key_id = ""

    def __init__(self, idempotency_key: str | None = None) -> None:
        self.idempotency_key = idempotency_key
        self.afterwards: list[Any] = []
        self._gone = asyncio.Event()
        self.wait_for_disconnect = self._gone.wait
        self.hang_up = self._gone.set

    async def is_disconnected(self) -> bool:
        return self._gone.is_set()

    def after_answer(self, *work: Any) -> None:
        self.afterwards.append(work)


CONTENT = [("sha256:" + "0" * 64, "Grace Hopper")]


@pytest.fixture
def operations(table: HttpOperations) -> IndexOperations:
    unused: Any = None
    return IndexOperations(unused, table, unused, timeout=60)


async def test_a_caller_that_disconnected_and_repeats_its_request_gets_the_finished_work(
    operations: IndexOperations,
) -> None:
    deaf: Any = FakeChange()
    listening: Any = FakeChange()
    first = await operations.build(deaf, "faces", CONTENT)
    deaf.hang_up()
    await operations.conclude(first, deaf)
    assert deaf.afterwards == []
    again = await operations.build(listening, "faces", CONTENT)
    assert (again.id, again.index_key) == (first.id, first.index_key)
    await operations.conclude(again, listening)
    ((forget, *what),) = listening.afterwards
    await forget(*what)
    assert (await operations.build(listening, "faces", CONTENT)).id != first.id


async def test_nothing_begins_for_a_caller_that_has_disconnected(
    operations: IndexOperations, database: Database
) -> None:
    deaf: Any = FakeChange()
    deaf.hang_up()
    with pytest.raises(Refusal) as refused:
        await operations.build(deaf, "faces", CONTENT)
    assert refused.value.code == "hung_up"
    assert count(database) == 0


async def test_a_build_with_a_key_is_kept_though_its_caller_hung_up(
    operations: IndexOperations, table: HttpOperations, database: Database
) -> None:
    deaf: Any = FakeChange("portraits-7731")
    first = await operations.build(deaf, "faces", CONTENT)
    deaf.hang_up()
    async with operations.watch_caller(first, deaf):
        pass
    await operations.conclude(first, deaf)
    age(database, 7200)
    assert table.abandon(seconds=60) == 0
    again = await operations.build(FakeChange("portraits-7731"), "faces", CONTENT)  # type: ignore[arg-type]
    assert (again.id, again.index_key, again.done) == (first.id, first.index_key, True)


async def test_an_index_whose_gateway_was_killed_is_dropped_however_late_its_task_runs(
    open_gateway: OpenGateway, database: Database, table: HttpOperations, broker: Redis, gateway_database: str
) -> None:
    abandoned = table.begin(new("a"))
    galleries = Database(gateway_database)
    log = OperationLog(galleries)
    table.close()
    age(database, 61)
    assert table.abandon(seconds=60) == 1
    # Its gateway's task was still waiting in the queue.
    log.create(abandoned.index_key, GallerySpec(dimension=4))
    age(database, 3600)
    async with open_gateway() as _:
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
    open_gateway: OpenGateway, settings: dict[str, Any]
) -> None:
    worker = Worker()
    async with open_gateway(gateway_timeout=60) as http, open_gateway(gateway_timeout=60) as other:
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
    open_gateway: OpenGateway, settings: dict[str, Any], broker: Redis
) -> None:
    named = {"Idempotency-Key": "portraits-7731"}
    worker = Worker()
    async with open_gateway(gateway_timeout=60) as one, open_gateway(gateway_timeout=60) as other:
        waiting = [asyncio.create_task(build(http, **named)) for http in (one, other)]
        async with asyncio.timeout(30):
            while broker.llen("gpu") < 2:
                await asyncio.sleep(0.02)
        with Answerer(settings["broker_url"], worker.answer):
            results = await asyncio.gather(*waiting)
    assert results[0]["indexKey"] == results[1]["indexKey"]
    assert len({each.operation_id for each in worker.requests}) == 2
    assert len(worker.requests) == 4


@asynccontextmanager
async def served(settings: dict[str, Any]) -> AsyncIterator[str]:
    """A gateway behind a real socket; its address."""
    app = create_app(GatewaySettings(**settings))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            await until(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def test_an_addition_whose_caller_disconnected_halfway_is_resumed(
    open_gateway: OpenGateway, settings: dict[str, Any], broker: Redis, database: Database
) -> None:
    del open_gateway
    worker = Worker()
    async with (
        served(settings | {"gateway_timeout": 60}) as address,
        httpx.AsyncClient(base_url=address) as http,
    ):
        with Answerer(settings["broker_url"], worker.answer):
            key = (await build(http))["indexKey"]
        path, added = "/face-recognition-index-add", {"imageLabelPairs": PAIRS, "indexKey": key}
        async with httpx.AsyncClient(base_url=address) as impatient:
            waiting = asyncio.create_task(impatient.post(path, json=added))
            await until(lambda: broker.llen("gpu") == 1)
            waiting.cancel()
            await asyncio.wait({waiting})
        await until(lambda: gateways(database) == [NOBODY])
        again = asyncio.create_task(http.post(path, json=added))
        await until(lambda: broker.llen("gpu") == 2)
        with Answerer(settings["broker_url"], worker.answer):
            assert (await again).status_code == 200
            # No other gateway ends the remaining operation.
            await until(lambda: count(database) == 0)
    done = [(each.operation_id, [item.external_id for item in each.items]) for each in worker.requests[2:]]
    assert done[0] == done[1]
    assert (len(done), done[0][1]) == (2, ["2", "3"])
    with database.begin() as connection:
        assert connection.exec_driver_sql("SELECT next_number FROM http_indexes").scalar_one() == 4


async def test_a_build_that_nobody_does_is_dropped(
    open_gateway: OpenGateway, database: Database, broker: Redis
) -> None:
    async with open_gateway(gateway_timeout=0.3) as http:
        answer = await http.post("/face-recognition-index-build", json={"imageLabelPairs": PAIRS})
        assert answer.status_code == 504
        with database.begin() as connection:
            assert connection.exec_driver_sql("SELECT key FROM http_indexes").all() == []
        (message,) = broker.lrange("index", 0, -1)
        assert json.loads(message)["headers"]["task"] == "gallery.delete"
