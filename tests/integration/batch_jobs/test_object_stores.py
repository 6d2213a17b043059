"""Batch jobs whose manifest, images and result are objects of an S3 server, reached over HTTP."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from paddlewheel.contracts.batch_jobs import BatchStatus, NewBatchJob
from paddlewheel.errors import AddressNotFound, AddressRefused, PlaceUnavailable
from tests.conftest import RunningServer
from tests.integration.batch_jobs.conftest import Bench, fields
from tests.object_server import ObjectServer
from workers.batch_jobs.places import AllowedRoots


@pytest.fixture
def bucket(object_store: ObjectServer) -> str:
    return object_store.new_bucket()


@pytest.fixture
def bench(clean_database: str, valkey: RunningServer, tmp_path: Path, bucket: str) -> Iterator[Bench]:
    made = Bench(clean_database, valkey, tmp_path, store=f"s3://{bucket}")
    yield made
    made.close()


def do(bench: Bench, bucket: str, **wanted: Any) -> BatchStatus:
    job = NewBatchJob(manifest=f"s3://{bucket}/list.txt", sink=f"s3://{bucket}/out/result.txt", **wanted)
    return bench.finish(bench.jobs.submit(job).id)


def answers(store: ObjectServer, bucket: str) -> list[dict[str, Any]]:
    lines = store.get(bucket, "out/result.txt").decode().splitlines()
    return [fields(line) for line in lines]


def test_manifest_images_and_result_are_objects(
    bench: Bench, object_store: ObjectServer, bucket: str
) -> None:
    names = [f"in/{number}.png" for number in range(9)]
    for number, name in enumerate(names):
        object_store.put(bucket, name, f"picture {number}".encode())
    object_store.put(bucket, "secret/1.png", b"secret")
    object_store.put(bucket, "in/empty.png", b"")
    object_store.deny(bucket, "GetObject", "secret")
    addresses = [*names, "in/missing.png", "secret/1.png", "in/empty.png", names[0]]
    manifest = "".join(f"s3://{bucket}/{name}\n" for name in addresses)
    object_store.put(bucket, "list.txt", manifest.encode())
    status = do(bench, bucket)
    assert (status.state, status.lines, status.failed_lines) == ("succeeded", 13, 2), status
    found = answers(object_store, bucket)
    assert [each.get("class_name") for each in found[:9]] == [f"picture {number}" for number in range(9)]
    assert [found[9]["error"]["code"], found[10]["error"]["code"]] == ["address_not_found", "address_refused"]
    assert "credentials" in found[10]["error"]["message"]
    assert [found[11]["class_name"], found[12]["class_name"]] == ["", "picture 0"]
    assert any(".parts-" in key for key in object_store.keys(bucket)), "they are kept while lines have failed"
    object_store.put(bucket, "in/missing.png", b"late")
    object_store.client.delete_bucket_policy(Bucket=bucket)
    bench.jobs.retry(status.id)
    assert bench.finish(status.id).failed_lines == 0
    assert [each["class_name"] for each in answers(object_store, bucket)[9:11]] == ["late", "secret"]
    bench.round()
    assert not [key for key in object_store.keys(bucket) if ".parts-" in key]
    again = do(bench, bucket)
    assert (again.state, again.error_code) == ("failed", "sink_exists")
    assert do(bench, bucket, overwrite=True).state == "succeeded"


def test_what_a_store_refuses_stops_a_job_with_a_sentence(
    bench: Bench, object_store: ObjectServer, bucket: str
) -> None:
    assert do(bench, bucket).error_code == "address_not_found"
    object_store.put(bucket, "list.txt", f"s3://{bucket}/1.png\n".encode())
    object_store.deny(bucket, "PutObject", "out/")
    # A store that takes no part of the result is a fault of nobody's line: the job stops.
    refused = do(bench, bucket)
    assert (refused.state, refused.error_code) == ("failed", "address_refused")
    assert "refuses access" in (refused.error_message or "")


def test_a_bucket_that_is_not_there_is_named_and_never_made(object_store: ObjectServer) -> None:
    place = AllowedRoots(["s3://no-such-bucket"]).place("s3://no-such-bucket/out/result.txt")
    for attempt in (lambda: place.write(b"x"), lambda: place.read(10), lambda: list(place.chunks(10))):
        with pytest.raises(AddressNotFound, match="no bucket of that name"):
            attempt()
    assert "no-such-bucket" not in object_store.buckets()


def test_wrong_credentials_are_the_operators_fault(object_store: ObjectServer, bucket: str) -> None:
    place = AllowedRoots([f"s3://{bucket}"]).place(f"s3://{bucket}/1.png")
    place.write(b"one")
    with object_store.knowing_nobody():
        for attempt in (lambda: place.write(b"two"), lambda: place.read(10)):
            with pytest.raises(PlaceUnavailable, match="does not accept the credentials"):
                attempt()
        # The answer to a look has no body, and so no reason.
        with pytest.raises(AddressRefused, match="credentials used here are wrong"):
            place.exists()
    assert place.read(10) == b"one"


def test_a_long_result_appears_when_its_last_part_is_there(
    object_store: ObjectServer, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "result"
    with source.open("wb") as file:
        file.truncate(11 << 20)
    place = AllowedRoots([f"s3://{bucket}"]).place(f"s3://{bucket}/result.txt")
    files = place._files  # type: ignore[attr-defined]
    calls = []

    async def cut(method: str, *arguments: Any, **options: Any) -> Any:
        calls.append(method)
        if method == "complete_multipart_upload":
            raise ConnectionError("cut off")
        return await whole(method, *arguments, **options)

    whole = files._call_s3
    # As for a result of more than a hundred megabytes.
    monkeypatch.setattr(files, "put_file", partial(files.put_file, chunksize=5 << 20))
    with monkeypatch.context() as patch:
        patch.setattr(files, "_call_s3", cut)
        with pytest.raises(PlaceUnavailable):
            place.publish(source, replace=False)
    assert calls.count("upload_part") >= 2
    assert object_store.keys(bucket) == []
    assert place.publish(source, replace=False)
    assert not place.publish(source, replace=False)
    assert sum(map(len, place.chunks(1 << 24))) == 11 << 20
