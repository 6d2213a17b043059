"""What every blob store has to do. Each backend's tests inherit these and say how to reach behind it."""

from collections.abc import Sequence
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlewheel.blobs.content import digest_of
from paddlewheel.blobs.store import BlobStore, StoredBlob
from paddlewheel.errors import BlobCorrupt, BlobExpired, BlobNotFound, BlobTooLarge

NOW = 1_800_000_000.0
TTL = 600.0
MAX_BYTES = 4_096


class Backend(Protocol):
    """A backend, its clock, and what lies behind it."""

    def open(self, *, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> BlobStore: ...
    def let_pass(self, seconds: float) -> None: ...
    def overwrite(self, digest: str, data: bytes) -> None: ...


def ref_to(data: bytes, *, expires_at: float | None = None) -> StoredBlob:
    return StoredBlob(blob=f"sha256:{digest_of(data)}", expires_at=expires_at)


def kinds(outcomes: Sequence[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


class BlobStoreContract:
    @pytest.fixture
    def store(self, backend: Backend) -> BlobStore:
        return backend.open()

    def test_what_was_put_is_got(self, store: BlobStore) -> None:
        stored = store.put(b"pixels")
        assert stored.blob == f"sha256:{digest_of(b'pixels')}"
        assert store.get(stored) == b"pixels"

    def test_any_list_of_any_bytes_comes_back_in_order(self, store: BlobStore) -> None:
        @settings(deadline=None, max_examples=40)
        @given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"a", b"b"])), max_size=8))
        def comes_back(data: list[bytes]) -> None:
            stored = store.put_many(data)
            assert [blob.blob for blob in stored] == [ref_to(item).blob for item in data]
            assert store.get_many(stored) == data

        comes_back()

    def test_an_empty_blob_is_not_a_missing_one(self, store: BlobStore) -> None:
        assert isinstance(store.get_many([ref_to(b"")])[0], BlobNotFound)
        assert store.get(store.put(b"")) == b""

    def test_a_blob_of_exactly_the_cap_is_taken(self, store: BlobStore) -> None:
        data = bytes(MAX_BYTES)
        assert store.get(store.put(data)) == data

    def test_a_blob_above_the_cap_is_refused_and_nothing_is_stored(self, store: BlobStore) -> None:
        with pytest.raises(BlobTooLarge, match="4,097 bytes"):
            store.put_many([b"small", bytes(MAX_BYTES + 1)])
        with pytest.raises(BlobNotFound):
            store.get(ref_to(b"small"))

    def test_a_stored_blob_above_the_readers_cap_is_refused(self, backend: Backend) -> None:
        stored = backend.open().put(b"x" * 100)
        with pytest.raises(BlobTooLarge):
            backend.open(max_bytes=99).get(stored)
        assert backend.open(max_bytes=100).get(stored) == b"x" * 100

    def test_one_that_fails_leaves_the_others_alone(self, backend: Backend) -> None:
        store = backend.open()
        good, changed = store.put_many([b"good", b"changed"])
        backend.overwrite(digest_of(b"changed"), b"not that")
        outcomes = store.get_many([ref_to(b"never put"), good, changed, good])
        assert kinds(outcomes) == [BlobNotFound, bytes, BlobCorrupt, bytes]

    def test_a_malformed_address_reaches_nothing(self, store: BlobStore) -> None:
        for address in ("", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "A" * 64):
            with pytest.raises(BlobNotFound, match="has the form"):
                store.get(StoredBlob(blob=address, expires_at=None))

    def test_a_blob_lives_for_its_time_to_live(self, backend: Backend) -> None:
        store = backend.open()
        stored = store.put(b"pixels")
        assert stored.expires_at == NOW + TTL
        backend.let_pass(TTL - 1)
        assert store.get(stored) == b"pixels"
        backend.let_pass(2)
        store.sweep()
        with pytest.raises(BlobExpired):
            store.get(stored)
        with pytest.raises(BlobNotFound):
            store.get(ref_to(b"pixels"))

    def test_a_second_put_renews_it(self, backend: Backend) -> None:
        store = backend.open()
        store.put(b"pixels")
        backend.let_pass(TTL - 1)
        renewed = store.put(b"pixels")
        assert renewed.expires_at == NOW + TTL - 1 + TTL
        backend.let_pass(TTL - 1)
        store.sweep()
        assert store.get(renewed) == b"pixels"

    def test_it_can_be_put_again_after_it_expired(self, backend: Backend) -> None:
        store = backend.open()
        store.put(b"pixels")
        backend.let_pass(TTL + 1)
        again = store.put(b"pixels")
        assert store.get(again) == b"pixels"
        store.sweep()
        assert store.get(again) == b"pixels"

    def test_a_sweep_leaves_live_blobs(self, backend: Backend) -> None:
        store = backend.open()
        stored = store.put_many([bytes([number]) for number in range(20)])
        assert store.sweep() == 0
        assert kinds(store.get_many(stored)) == [bytes] * 20

    def test_no_blobs_is_no_work(self, store: BlobStore) -> None:
        assert store.put_many([]) == []
        assert store.get_many([]) == []


class Clock:
    """A clock that moves when a test moves it."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time
