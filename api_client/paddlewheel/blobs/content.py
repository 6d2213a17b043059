"""Content addressing, the same for every blob store: digests on the way in, checks on the way out."""

import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from paddlewheel.blobs.store import BlobRef, BlobStore, StoredBlob
from paddlewheel.errors import BlobCorrupt, BlobError, BlobExpired, BlobNotFound, BlobTooLarge

ADDRESS = re.compile(r"sha256:([0-9a-f]{64})\Z")


def digest_of(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal: the name under which every store keeps it."""
    return hashlib.sha256(data).hexdigest()


class ContentStore(BlobStore, ABC):
    """A blob store over two operations on digests; the checks are the same for all of them."""

    def __init__(self, *, ttl: float, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._now = now

    @abstractmethod
    def _write(self, blobs: Mapping[str, bytes]) -> Mapping[str, float | None]:
        """Store the blobs by digest, or renew those that are there; until when each is kept."""

    @abstractmethod
    def _read(self, digests: Sequence[str]) -> Mapping[str, bytes | BlobError]:
        """The stored blobs, without missing ones. Never more than `max_bytes` + 1 bytes of a blob."""

    def put(self, data: bytes) -> StoredBlob:
        return self.put_many([data])[0]

    def put_many(self, data: Sequence[bytes]) -> list[StoredBlob]:
        for item in data:
            if len(item) > self._max_bytes:
                raise self._too_large(f"{len(item):,}")
        digests = [digest_of(item) for item in data]
        kept = self._write(dict(zip(digests, data, strict=True))) if digests else {}
        return [StoredBlob(blob=f"sha256:{digest}", expires_at=kept[digest]) for digest in digests]

    def get(self, ref: BlobRef) -> bytes:
        found = self.get_many([ref])[0]
        if isinstance(found, BlobError):
            raise found
        return found

    def get_many(self, refs: Sequence[BlobRef]) -> list[bytes | BlobError]:
        addresses = [ADDRESS.match(ref.blob) for ref in refs]
        digests = list(dict.fromkeys(address[1] for address in addresses if address))
        found = self._read(digests) if digests else {}
        checked = {digest: self._checked(digest, stored) for digest, stored in found.items()}
        return [
            self._outcome(ref, address and address[1], checked)
            for ref, address in zip(refs, addresses, strict=True)
        ]

    def sweep(self, limit: int = 1_000) -> int:
        """Nothing to do where the store deletes expired blobs by itself."""
        del limit
        return 0

    def _checked(self, digest: str, stored: bytes | BlobError) -> bytes | BlobError:
        if isinstance(stored, BlobError):
            return stored
        if len(stored) > self._max_bytes:
            return self._too_large(f"more than {self._max_bytes:,}")
        if digest_of(stored) != digest:
            return BlobCorrupt(f"The bytes stored under sha256:{digest} are others: put the image again.")
        return stored

    def _outcome(
        self, ref: BlobRef, digest: str | None, found: Mapping[str, bytes | BlobError]
    ) -> bytes | BlobError:
        if digest is None:
            return BlobNotFound("A blob's reference has the form sha256:<64 hexadecimal digits>.")
        if digest in found:
            return found[digest]
        if ref.expires_at is not None and ref.expires_at <= self._now():
            return BlobExpired(f"The blob {ref.blob} has outlived its time to live: put the image again.")
        return BlobNotFound(f"No blob is stored under {ref.blob}: put the image first.")

    def _too_large(self, size: str) -> BlobTooLarge:
        return BlobTooLarge(f"The image has {size} bytes; the blob store takes at most {self._max_bytes:,}.")
