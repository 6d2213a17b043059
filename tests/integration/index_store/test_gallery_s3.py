"""Galleries whose files are objects of an S3 server, reached over HTTP."""

from pathlib import Path

import pytest

from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.segment_folder import SegmentFolder
from index_store.segment_objects import SegmentObjects
from index_store.store import GalleryStore
from paddlewheel.errors import GalleryFolderInvalid, SegmentCorrupt, SegmentStoreUnavailable
from tests.embeddings import random_embeddings
from tests.integration.index_store.test_gallery_objects import machine
from tests.object_server import ObjectServer

ROWS = random_embeddings(100, 16)


@pytest.fixture
def bucket(object_store: ObjectServer) -> str:
    return object_store.new_bucket()


def test_a_gallery_in_a_bucket_is_sealed_here_and_searched_there(
    database: Database, key: str, tmp_path: Path, object_store: ObjectServer, bucket: str
) -> None:
    url = f"s3://{bucket}/galleries"
    one, two = machine(database, url, tmp_path / "one"), machine(database, url, tmp_path / "two")
    assert list(one.store.files.names()) == []
    ids = one.store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 100).ids
    one.sealer.run(key)
    (stored,) = object_store.keys(bucket)
    assert [(f"galleries/{name}", age < 3600) for name, age in one.store.files.names()] == [(stored, True)]
    assert [hits[0].id for hits in two.store.search(key, ROWS, top_k=1)] == list(ids)
    (copy,) = (tmp_path / "two").iterdir()
    assert copy.read_bytes() == object_store.get(bucket, stored)


def test_an_object_that_was_altered_is_noticed_and_the_vectors_come_from_the_log(
    database: Database, key: str, tmp_path: Path, object_store: ObjectServer, bucket: str
) -> None:
    url = f"s3://{bucket}/galleries"
    one, two = machine(database, url, tmp_path / "one"), machine(database, url, tmp_path / "two")
    ids = one.store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 100).ids
    one.sealer.run(key)
    (stored,) = object_store.keys(bucket)
    segment = object_store.get(bucket, stored)
    object_store.put(bucket, stored, segment[:-1] + bytes([segment[-1] ^ 1]))
    assert [hits[0].id for hits in two.store.search(key, ROWS, top_k=1)] == list(ids)
    assert list((tmp_path / "two").iterdir()) == []
    assert two.store.describe(key).segments[0].damaged


def test_what_a_store_refuses_is_reported_in_a_sentence(
    tmp_path: Path, object_store: ObjectServer, bucket: str
) -> None:
    absent = SegmentObjects("s3://no-such-bucket/galleries", tmp_path / "absent")
    absent.scratch("a.segment").write_bytes(b"x")
    with pytest.raises(SegmentStoreUnavailable, match="no bucket of that name"):
        absent.publish("a.segment")
    assert "no-such-bucket" not in object_store.buckets()
    files = SegmentObjects(f"s3://{bucket}/galleries", tmp_path / "copies")
    with pytest.raises(SegmentCorrupt, match="missing"):
        files.fetch("b.segment", 1, "0" * 64)
    object_store.deny(bucket, "GetObject", "galleries/")
    object_store.put(bucket, "galleries/b.segment", b"x")
    with pytest.raises(SegmentStoreUnavailable, match="refuses access"):
        files.fetch("b.segment", 1, "0" * 64)


def test_an_export_goes_to_a_bucket_that_is_there_and_makes_none(
    database: Database, key: str, tmp_path: Path, object_store: ObjectServer, bucket: str
) -> None:
    store = GalleryStore(database, SegmentFolder(tmp_path))
    store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 100)
    with pytest.raises(SegmentStoreUnavailable, match="no bucket of that name"):
        store.export_to(key, "s3://no-such-bucket/g")
    assert "no-such-bucket" not in object_store.buckets()
    url = f"s3://{bucket}/exports/g"
    assert store.export_to(key, url) == 100
    assert object_store.keys(bucket) == ["exports/g/id_map.yaml", "exports/g/vector.index"]
    with pytest.raises(GalleryFolderInvalid, match="exists already"):
        store.export_to(key, url)
    assert len(store.import_from(f"{key}-back", url).appended.ids) == 100
    object_store.deny(bucket, "PutObject", "exports/denied")
    with pytest.raises(SegmentStoreUnavailable, match="refuses access"):
        store.export_to(key, f"s3://{bucket}/exports/denied")


def test_a_store_that_is_away_is_reported_as_away(tmp_path: Path) -> None:
    quick = {"config_kwargs": {"retries": {"max_attempts": 0}}, "key": "a", "secret": "b"}
    files = SegmentObjects("s3://bucket/x", tmp_path, endpoint_url="http://127.0.0.1:1", **quick)
    with pytest.raises(SegmentStoreUnavailable, match="EndpointConnectionError"):
        files.fetch("b.segment", 1, "0" * 64)
