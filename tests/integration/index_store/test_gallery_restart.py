"""A database that restarts under a running store: reads and writes go on by themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api_client.errors import DatabaseUnavailable
from index_store.database import Database
from index_store.gallery import GallerySpec
from index_store.migration import migrate
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings
from tests.postgres import PostgresServer

ROWS = random_embeddings(20, 16)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


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
