"""The blob store in a bucket of an S3 server, reached over HTTP."""

import time
from collections.abc import Callable

import pytest

from paddlewheel.blobs.content import digest_of
from paddlewheel.blobs.object_store import FsspecBlobStore
from paddlewheel.errors import BlobCorrupt, BlobNotFound, BlobStoreUnavailable
from tests.blob_contract import kinds, ref_to
from tests.object_server import ObjectServer


@pytest.fixture
def bucket(object_store: ObjectServer) -> str:
    return object_store.new_bucket()


def open_store(bucket: str, now: Callable[[], float] = time.time) -> FsspecBlobStore:
    return FsspecBlobStore(f"s3://{bucket}/blobs", ttl=600, max_bytes=4096, now=now)


def test_blobs_are_objects_named_by_what_they_hold(object_store: ObjectServer, bucket: str) -> None:
    store, data = open_store(bucket), [b"pixels", b"", b"x" * 4096]
    stored = store.put_many(data)
    assert store.get_many(stored) == data
    name = digest_of(b"pixels")
    key = f"blobs/{name[:2]}/{name[2:4]}/{name}"
    assert object_store.get(bucket, key) == b"pixels"
    object_store.put(bucket, key, b"others")
    assert kinds(store.get_many([stored[0], ref_to(b"never put")])) == [BlobCorrupt, BlobNotFound]


def test_a_blob_is_swept_when_its_life_is_over_and_renewed_before(
    object_store: ObjectServer, bucket: str
) -> None:
    open_store(bucket).put(b"pixels")
    late = open_store(bucket, lambda: time.time() + 601)
    (before,) = object_store.client.list_objects_v2(Bucket=bucket)["Contents"]
    open_store(bucket).put(b"pixels")
    (after,) = object_store.client.list_objects_v2(Bucket=bucket)["Contents"]
    assert before == after, "one that has most of its life before it is not sent again"
    assert late.sweep() == 1
    assert object_store.keys(bucket) == []
    assert isinstance(late.get_many([ref_to(b"pixels")])[0], BlobNotFound)


def test_a_refusal_of_the_store_is_one_sentence(object_store: ObjectServer, bucket: str) -> None:
    stored = open_store(bucket).put(b"pixels")
    object_store.deny(bucket, "GetObject", "blobs/")
    with pytest.raises(BlobStoreUnavailable, match="refuses access"):
        open_store(bucket).get(stored)
    with pytest.raises(BlobStoreUnavailable, match="no bucket of that name"):
        open_store("no-such-bucket").put(b"pixels")
    assert "no-such-bucket" not in object_store.buckets()
