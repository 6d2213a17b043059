"""The blob store over the Redis protocol, with a real server."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from paddlewheel.blobs.content import digest_of
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.redis_server import SENT_UNASKED, RedisBlobStore
from paddlewheel.errors import BlobCorrupt, BlobExpired, BlobStoreUnavailable
from tests.blob_contract import MAX_BYTES, TTL, BlobStoreContract, Clock, kinds


def key(data: bytes) -> str:
    return f"paddlewheel:blob:{digest_of(data)}"


class Server:
    """A database of a running server. Time passes there by taking it from what each blob has left."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.redis: redis.Redis = redis.Redis.from_url(url)

    def open(self, *, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> RedisBlobStore:
        return RedisBlobStore(self.url, ttl=ttl, max_bytes=max_bytes, now=self.clock)

    def let_pass(self, seconds: float) -> None:
        self.clock.time += seconds
        for name in self.redis.keys("paddlewheel:blob:*"):
            self.redis.pexpire(name, self.redis.pttl(name) - round(seconds * 1000))

    def overwrite(self, digest: str, data: bytes) -> None:
        self.redis.set(f"paddlewheel:blob:{digest}", data, keepttl=True)

    def calls(self, command: str) -> int:
        stats: dict[str, Any] = self.redis.info("commandstats").get(f"cmdstat_{command}", {})
        return int(stats.get("calls", 0))


class TestRedis(BlobStoreContract):
    @pytest.fixture
    def backend(self, valkey: Any) -> Iterator[Server]:
        server = Server(valkey.url)
        yield server
        for name in server.redis.keys("paddlewheel:blob:*"):
            server.redis.delete(name)
        server.redis.close()

    def test_large_blobs_that_are_there_are_not_sent_again(self, backend: Server) -> None:
        one, two, three = (bytes([number]) * (SENT_UNASKED + 1) for number in range(3))
        store = backend.open(max_bytes=SENT_UNASKED + 1)
        store.put_many([one, two, one])
        before = backend.calls("set")
        stored = store.put_many([two, three, b"small"])
        assert backend.calls("set") == before + 2
        assert store.get_many(stored) == [two, three, b"small"]

    def test_a_large_blob_is_renewed_and_never_shortened(self, backend: Server) -> None:
        data = bytes(SENT_UNASKED + 1)
        backend.open(max_bytes=len(data)).put(data)
        for ttl, left in ((TTL / 2, TTL), (TTL * 2, TTL * 2)):
            backend.open(ttl=ttl, max_bytes=len(data)).put(data)
            assert backend.redis.pttl(key(data)) / 1000 == pytest.approx(left, abs=10)

    def test_many_are_got_in_one_round_trip(self, backend: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        store = backend.open()
        stored = store.put_many([bytes([number]) for number in range(50)])
        trips: list[int] = []
        execute = redis.client.Pipeline.execute

        def counted(pipeline: Any, *args: Any, **kwargs: Any) -> Any:
            trips.append(len(pipeline.command_stack))
            return execute(pipeline, *args, **kwargs)

        monkeypatch.setattr(redis.client.Pipeline, "execute", counted)
        assert kinds(store.get_many(stored)) == [bytes] * 50
        assert trips == [100]

    def test_the_server_itself_deletes_an_expired_blob(self, backend: Server) -> None:
        store = open_blob_store(backend.url, ttl=0.05, max_bytes=MAX_BYTES)
        stored = store.put(b"pixels")
        patience = time.monotonic() + 10
        while backend.redis.exists(key(b"pixels")) and time.monotonic() < patience:
            time.sleep(0.01)
        with pytest.raises(BlobExpired):
            store.get(stored)
        store.close()

    def test_a_shorter_time_to_live_never_shortens_another_clients(self, backend: Server) -> None:
        kept = backend.open().put(b"pixels")
        backend.open(ttl=10).put(b"pixels")
        backend.let_pass(20)
        assert backend.open().get(kept) == b"pixels"

    def test_a_key_of_another_type_fails_alone(self, backend: Server) -> None:
        store = backend.open()
        good, other = store.put_many([b"good", b"other"])
        backend.redis.delete(key(b"other"))
        backend.redis.lpush(key(b"other"), "not a blob")
        assert kinds(store.get_many([other, good])) == [BlobCorrupt, bytes]

    def test_a_server_without_memory_left_is_unavailable(self, backend: Server) -> None:
        store = backend.open()
        allowed = str(backend.redis.config_get("maxmemory")["maxmemory"])
        backend.redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(BlobStoreUnavailable, match="maxmemory"):
                store.put(b"pixels")
        finally:
            backend.redis.config_set("maxmemory", allowed)
