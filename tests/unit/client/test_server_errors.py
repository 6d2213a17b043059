"""What a Redis-protocol server refuses reaches callers without scripts, images or advice to wait."""

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.blobs.redis_server import RedisBlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import AuthenticationFailed, BlobStoreUnavailable, BrokerUnavailable

REF = ImageRef(blob="sha256:" + "0" * 64)
WRONG_PASSWORD = "-WRONGPASS invalid username-password pair or user is disabled."
NO_PASSWORD = "-NOAUTH Authentication required."
FULL = "-OOM command not allowed when used memory > 'maxmemory'."


class Refusing(socketserver.StreamRequestHandler):
    """Answers the greeting, and every other command with the server's refusal."""

    def handle(self) -> None:
        refusal: str = self.server.refusal  # type: ignore[attr-defined]
        while header := self.rfile.readline():
            parts = [self._part() for _ in range(int(header[1:]))]
            if parts[0] == b"HELLO" and b"AUTH" not in parts:
                self.wfile.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
            else:
                self.wfile.write(b"+OK\r\n" if parts[0] == b"CLIENT" else f"{refusal}\r\n".encode())

    def _part(self) -> bytes:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]


@pytest.fixture(params=[WRONG_PASSWORD, NO_PASSWORD, FULL])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as listening:
        listening.daemon_threads = True
        listening.refusal = request.param  # type: ignore[attr-defined]
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        secret = ":secret@" if request.param == WRONG_PASSWORD else ""
        yield f"redis://{secret}127.0.0.1:{listening.server_address[1]}/0", request.param
        listening.shutdown()


def test_the_broker_and_the_blob_store_say_what_was_refused(server: tuple[str, str], tmp_path: Path) -> None:
    url, refusal = server
    with (
        Client(url, blob_url=f"file://{tmp_path}") as client,
        pytest.raises(BrokerUnavailable if refusal == FULL else AuthenticationFailed) as broker,
    ):
        client.enqueue(RECOGNIZE_TEXT, REF)
    store = RedisBlobStore(url, ttl=60, max_bytes=1_000_000)
    with pytest.raises(BlobStoreUnavailable if refusal == FULL else AuthenticationFailed) as small:
        store.put(b"pixels")
    with pytest.raises(BlobStoreUnavailable if refusal == FULL else AuthenticationFailed) as large:
        store.put(b"pixels" * 20_000)
    with pytest.raises(BlobStoreUnavailable if refusal == FULL else AuthenticationFailed) as read:
        store.get(REF)
    store.close()
    for caught in (broker, small, large, read):
        said = caught.value.message
        assert not any(word in said for word in ("redis.call", "EVAL", "pixels", "secret"))
        assert "maxmemory" in said if refusal == FULL else said.startswith("Authentication failed")
