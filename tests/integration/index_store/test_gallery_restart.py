"""A database that restarts or hangs under a running store: reads and writes go on by themselves."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest

from database.migration import migrate
from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from paddlewheel.errors import DatabaseUnavailable
from tests.embeddings import random_embeddings
from tests.postgres import PostgresServer

ROWS = random_embeddings(20, 16)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """They stand still: their connections stay open, and nothing comes."""
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@contextmanager
def hung(server: PostgresServer) -> Iterator[None]:
    """The whole server stands still."""
    with closing(psycopg2.connect(server.url())) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
        assert postmaster is not None
        with stopped(postmaster, *postmaster.children()):
            yield


def asked_process(server: PostgresServer) -> psutil.Process:
    """The server's process that answered the last query."""
    with closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE query LIKE 'EXECUTE query%'")
        ((number,),) = cursor.fetchall()
    return psutil.Process(number)


def test_a_search_gives_up_a_server_that_hangs_and_uses_it_again_later(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(server.url())
    database = Database(server.url(), connect_timeout=1)
    store = GalleryStore(database, SegmentFolder(tmp_path / "segments"))
    ids = list(store.build("hung", GallerySpec(dimension=16), ROWS, ["x"] * 20).ids)
    for _ in range(2):
        store.search("hung", ROWS)
    monkeypatch.setattr("database.pending_queries.ANSWER_SECONDS", 0.5)
    with stopped(asked_process(server)):  # another of its processes answers
        assert [hits[0].id for hits in store.search("hung", ROWS, top_k=1)] == ids
    with hung(server):
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=r"no answer in .* seconds.*same operation id"):
            store.search("hung", ROWS)
        assert time.monotonic() - began < 30
    assert [hits[0].id for hits in store.search("hung", ROWS, top_k=1)] == ids
    database.close()


def test_a_store_lives_through_a_restart_of_the_database(server: PostgresServer, tmp_path: Path) -> None:
    migrate(server.url())
    store = GalleryStore(Database(server.url()), SegmentFolder(tmp_path / "segments"))
    ids = list(store.build("g", GallerySpec(dimension=16), ROWS, ["x"] * 20).ids)
    server.stop("immediate")
    for call in (lambda: store.search("g", ROWS), lambda: store.append("g", ROWS, ["x"] * 20)):
        with pytest.raises(DatabaseUnavailable, match="same operation id"):
            call()
    server.start()
    assert [hits[0].id for hits in store.search("g", ROWS, top_k=1)] == ids
    server.stop("immediate")
    server.start()
    ids += store.append("g", ROWS, ["y"] * 20).ids
    assert store.view("g").live(ids) == set(ids)
