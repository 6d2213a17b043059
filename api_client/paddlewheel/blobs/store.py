"""The blob store: image bytes are put once, and their SHA-256 travels in the task's message instead.

Bytes inside a message cost five to six times the throughput, so this is the only way that an image takes.
A blob lives for the store's time to live; putting the same bytes again renews it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paddlewheel.errors import BlobError


class BlobRef(Protocol):
    """What names a stored blob: an `ImageRef` or a `StoredBlob`."""

    @property
    def blob(self) -> str: ...
    @property
    def expires_at(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class StoredBlob:
    """A blob's address, `sha256:<hex>`, and until when (seconds since the epoch) the store keeps it.

    `expires_at` is a lower bound: another put of the same bytes may have prolonged it. None where the store
    cannot tell.
    """

    blob: str
    expires_at: float | None


class BlobStore(Protocol):
    """Bytes by their SHA-256. Every method may be called from many threads.

    `BlobStoreUnavailable` means that the store could not be reached or refused to work, as opposed to the
    `BlobError`s, which are about one blob.
    """

    def put(self, data: bytes) -> StoredBlob:
        """Store one blob. Raises BlobTooLarge."""
        ...

    def put_many(self, data: Sequence[bytes]) -> list[StoredBlob]:
        """Store many, in order. Raises BlobTooLarge before anything is stored."""
        ...

    def get(self, ref: BlobRef) -> bytes:
        """The bytes of one blob. Raises BlobNotFound, BlobExpired, BlobTooLarge, BlobCorrupt."""
        ...

    def get_many(self, refs: Sequence[BlobRef]) -> list[bytes | BlobError]:
        """The bytes of many, in order; one that fails is its own error and leaves the others alone."""
        ...

    def sweep(self, limit: int = 1_000) -> int:
        """Delete expired blobs, after looking at about `limit` of them; how many were deleted."""
        ...

    def close(self) -> None:
        """Give connections back. The store is of no use afterwards."""
        ...
