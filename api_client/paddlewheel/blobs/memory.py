"""Blobs in this process: for tests and for the client's in-memory stub."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from paddlewheel.blobs.content import ContentStore
from paddlewheel.errors import BlobError


class MemoryBlobStore(ContentStore):
    """A blob store that no other process sees. `max_bytes` and `ttl` are enforced as everywhere."""

    def __init__(
        self, *, ttl: float = 3600.0, max_bytes: int = 32_000_000, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(ttl=ttl, max_bytes=max_bytes, now=now)
        self._blobs: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def _write(self, blobs: Mapping[str, bytes]) -> Mapping[str, float | None]:
        expires_at = self._now() + self._ttl
        with self._lock:
            self._blobs |= {digest: (data, expires_at) for digest, data in blobs.items()}
        return dict.fromkeys(blobs, expires_at)

    def _read(self, digests: Sequence[str]) -> Mapping[str, bytes | BlobError]:
        now = self._now()
        with self._lock:
            found = {digest: self._blobs[digest] for digest in digests if digest in self._blobs}
        return {digest: data for digest, (data, expires_at) in found.items() if expires_at > now}

    def sweep(self, limit: int = 1_000) -> int:
        now = self._now()
        with self._lock:
            expired = [digest for digest, (_, expires_at) in self._blobs.items() if expires_at <= now]
            for digest in expired[:limit]:
                del self._blobs[digest]
        return len(expired[:limit])

    def close(self) -> None:
        self._blobs.clear()
