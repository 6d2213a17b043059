"""From addresses to bytes: loans on top of the blob store, web addresses, roots."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.blobs.store import BlobRef
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import (
    AddressNotFound,
    AddressRefused,
    BlobError,
    BlobNotFound,
    BlobStoreUnavailable,
    ConfigurationError,
)
from workers.batch_jobs.inputs import Inputs
from workers.batch_jobs.places import AllowedRoots
from workers.images.prefetch import FETCHED_AHEAD, PrefetchingBlobStore


@pytest.fixture
def blobs() -> Any:
    made = PrefetchingBlobStore(MemoryBlobStore(ttl=60, max_bytes=1000))
    yield made
    made.close()


def test_a_loan_is_a_blob_within_its_block_and_none_outside(blobs: PrefetchingBlobStore) -> None:
    stored = blobs.put(b"stored")
    with blobs.lend([lambda: b"one", lambda: b"two"]) as (one, two):
        assert blobs.get(two) == b"two"
        assert blobs.get(one) == blobs.get(one) == b"one"
        assert blobs.get(stored) == b"stored"
        assert blobs.get_many([one, stored, two]) == [b"one", b"stored", b"two"]
    with pytest.raises(BlobNotFound):
        blobs.get(one)
    (missing,) = blobs.get_many([two])
    assert isinstance(missing, BlobNotFound)


def test_what_cannot_be_fetched_fails_its_own_image(blobs: PrefetchingBlobStore) -> None:
    def fail() -> bytes:
        raise AddressNotFound("gone")

    with blobs.lend([fail, lambda: b"two"]) as (one, two):
        with pytest.raises(AddressNotFound, match="gone"):
            blobs.get(one)
        first, second = blobs.get_many([one, two])
        assert isinstance(first, AddressNotFound)
        assert second == b"two"


@dataclass(frozen=True)
class Request:
    image: ImageRef


class CountingBlobs(MemoryBlobStore):
    """Counts its calls; may be away."""

    away = False
    calls = 0

    def get_many(self, refs: Sequence[BlobRef]) -> list[bytes | BlobError]:
        if self.away:
            raise BlobStoreUnavailable("away")
        self.calls += 1
        return super().get_many(refs)


def requests_of(store: CountingBlobs, count: int) -> list[Request]:
    stored = [store.put(b"%d" % number) for number in range(count)]
    return [Request(ImageRef(blob=each.blob)) for each in stored]


def test_images_of_many_requests_are_fetched_a_portion_at_a_time() -> None:
    store = CountingBlobs(ttl=60, max_bytes=1000)
    blobs = PrefetchingBlobStore(store)
    requests = requests_of(store, 70)
    read = [blobs.get(request.image) for request in blobs.prefetch(requests)]
    assert read == [b"%d" % number for number in range(70)]
    assert store.calls == 3
    blobs.get(requests[-1].image)
    assert store.calls == 4
    blobs.close()


def test_a_missing_image_fails_alone_and_an_absent_store_all() -> None:
    store = CountingBlobs(ttl=60, max_bytes=1000)
    blobs = PrefetchingBlobStore(store)
    requests = [Request(ImageRef(blob="sha256:" + "0" * 64)), *requests_of(store, 1)]
    fetched = blobs.prefetch(requests)
    with pytest.raises(BlobNotFound):
        blobs.get(next(fetched).image)
    assert blobs.get(next(fetched).image) == b"0"
    store.away = True
    with pytest.raises(BlobStoreUnavailable):
        next(blobs.prefetch(requests))
    blobs.close()


def test_what_one_thread_prefetched_is_not_held_for_another() -> None:
    store = CountingBlobs(ttl=60, max_bytes=1000)
    blobs = PrefetchingBlobStore(store)
    (request,) = requests_of(store, 1)
    fetched = blobs.prefetch([request])
    next(fetched)
    with ThreadPoolExecutor(1) as other:
        other.submit(blobs.get, request.image).result()
    assert store.calls == 2
    blobs.get(request.image)
    assert store.calls == 2
    blobs.close()


def test_only_a_few_images_are_held_ahead_of_the_one_that_is_wanted(blobs: PrefetchingBlobStore) -> None:
    fetched: list[int] = []
    enough = threading.Semaphore(0)

    def source(number: int) -> Any:
        def fetch() -> bytes:
            fetched.append(number)
            enough.release()
            return b"%d" % number

        return fetch

    with blobs.lend([source(number) for number in range(40)]) as refs:
        assert blobs.get(refs[0]) == b"0"
        for _ in range(FETCHED_AHEAD):
            assert enough.acquire(timeout=10)
        assert sorted(fetched) == list(range(FETCHED_AHEAD))
        assert [blobs.get(ref) for ref in refs[1:]] == [b"%d" % number for number in range(1, 40)]
    assert sorted(fetched) == list(range(40))


class Web:
    """Remembers what was asked for."""

    asked: str | None = None

    def fetch(self, url: str) -> bytes:
        self.asked = url
        return b"from the web"


def test_web_addresses_are_fetched_only_where_that_is_allowed(
    blobs: PrefetchingBlobStore, tmp_path: Path
) -> None:
    roots = AllowedRoots([str(tmp_path)])
    manifest = roots.place(str(tmp_path / "list.txt"))
    web: Any = Web()
    allowed = Inputs(roots, blobs, web, 100)
    assert allowed.source(b"https://example.org/a b.png", manifest)() == b"from the web"
    assert web.asked == "https://example.org/a b.png"
    with pytest.raises(AddressRefused, match="operator"):
        Inputs(roots, blobs, None, 100).source(b"HTTPS://example.org/a.png", manifest)()


def test_addresses_are_bytes_and_a_large_file_is_not_read_whole(
    blobs: PrefetchingBlobStore, tmp_path: Path
) -> None:
    roots = AllowedRoots([str(tmp_path)])
    manifest = roots.place(str(tmp_path / "list.txt"))
    name = b"\xff no text.png"
    Path(str(tmp_path), name.decode("utf-8", "surrogateescape")).write_bytes(b"x" * 500)
    assert Inputs(roots, blobs, None, 100).source(name, manifest)() == b"x" * 101
    stored = blobs.put(b"stored")
    assert Inputs(roots, blobs, None, 100).source(stored.blob.encode(), manifest)() == b"stored"
    with pytest.raises(BlobNotFound):
        Inputs(roots, blobs, None, 100).source(b"sha256:" + b"0" * 64, manifest)()


def test_a_root_is_a_whole_path_or_a_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="whole path"):
        AllowedRoots(["images"])
    with pytest.raises(ConfigurationError, match="nothing://x"):
        AllowedRoots(["nothing://x"])
    with pytest.raises(AddressRefused):
        AllowedRoots([]).place(str(tmp_path / "a.png"))
    with pytest.raises(AddressRefused):
        AllowedRoots([str(tmp_path)]).place(f"{tmp_path}-2/a.png")
    with pytest.raises(AddressRefused, match="NUL"):
        AllowedRoots([str(tmp_path)]).place(f"file://{tmp_path}/a%00.png")


def test_a_file_appears_whole_and_never_takes_anothers_place(tmp_path: Path) -> None:
    place = AllowedRoots([str(tmp_path)]).place(str(tmp_path / "deep" / "file.txt"))
    assert not place.exists()
    place.write(b"one")
    place.write(b"two")
    assert place.read(2) == b"two"
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["file.txt"]
    source = tmp_path / "deep" / "source"
    source.write_bytes(b"three")
    assert not place.publish(source, replace=False)
    assert place.read(10) == b"two"
    assert place.publish(source, replace=True)
    assert b"".join(place.chunks(2)) == b"three"
    place.beside(".parts/1").write(b"part")
    place.beside(".parts").remove()
    place.beside(".parts").remove()
    with pytest.raises(AddressNotFound):
        place.beside(".parts/1").read(10)
