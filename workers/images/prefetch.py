"""Images that are fetched before a service asks for them: those of a shard, and those of a bulk message.

Services load images by the reference of a blob. A shard lends references to images that are elsewhere; each
is read from its place when it is needed, without a stored copy. A bulk message's blobs are fetched by one
call to the blob store a portion. Every other reference is read from the blob store.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Final, Protocol, TypeAlias, TypeVar

from paddlewheel.blobs.store import BlobRef, BlobStore, StoredBlob
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import BlobError, PaddlewheelError

Source: TypeAlias = Callable[[], bytes]
"""Fetches one image. Raises a typed error."""

FETCHED_AHEAD: Final = 8
"""Images of a shard that are fetched while one is decoded; so many may be held."""

FETCHERS: Final = 16
"""Images that a worker fetches at a time."""


PORTION: Final = 32
"""Blobs of a bulk message that are fetched together and held until the next are."""


class HasImage(Protocol):
    """A request that names one stored image."""

    @property
    def image(self) -> ImageRef: ...


RequestT = TypeVar("RequestT", bound=HasImage)


class _Prefetch:
    """The images of one portion, fetched in their order, a few ahead of the one that is wanted."""

    def __init__(self, sources: Sequence[Source], pool: ThreadPoolExecutor) -> None:
        self._sources = sources
        self._pool = pool
        self._fetching: dict[int, Future[bytes]] = {}
        self._next = 0
        self._lock = threading.Lock()

    def get(self, place: int) -> bytes:
        with self._lock:
            while self._next < min(place + FETCHED_AHEAD, len(self._sources)):
                self._fetching[self._next] = self._pool.submit(self._sources[self._next])
                self._next += 1
            waiting = self._fetching.pop(place, None)
        # One that is asked for again is fetched again.
        return waiting.result() if waiting else self._sources[place]()

    def close(self) -> None:
        with self._lock:
            for each in self._fetching.values():
                each.cancel()
            self._fetching.clear()


class PrefetchingBlobStore(BlobStore):
    """A blob store with loans on top, and with what the calling thread has prefetched."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._prefetched = threading.local()
        self._lent: dict[str, tuple[_Prefetch, int]] = {}
        self._pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="batch-fetch")

    @contextmanager
    def lend(self, sources: Sequence[Source]) -> Iterator[list[ImageRef]]:
        """A reference to each image, good within the block and in this process only."""
        loan = _Prefetch(sources, self._pool)
        # Nobody can name a loan of somebody else's: its reference is drawn by lot.
        names = [f"sha256:{secrets.token_hex(32)}" for _ in sources]
        self._lent.update({name: (loan, place) for place, name in enumerate(names)})
        try:
            yield [ImageRef(blob=name) for name in names]
        finally:
            for name in names:
                del self._lent[name]
            loan.close()

    def prefetch(self, requests: Iterable[RequestT]) -> Iterator[RequestT]:
        """The requests in order; each portion's images are fetched by one call before its first is yielded.

        They are held for the calling thread alone, which may load each until the next portion begins.
        Raises BlobStoreUnavailable; the error of one blob is raised when it is loaded.
        """
        rest = iter(requests)
        try:
            while portion := list(islice(rest, PORTION)):
                names = [request.image.blob for request in portion]
                blobs = self.get_many([request.image for request in portion])
                self._prefetched.blobs = dict(zip(names, blobs, strict=True))
                yield from portion
        finally:
            self._prefetched.blobs = {}

    def get(self, ref: BlobRef) -> bytes:
        """The bytes of a blob: prefetched, lent or stored. Raises as the source or the store does."""
        prefetched = self._find_prefetched(ref)
        if isinstance(prefetched, BlobError):
            raise prefetched
        if prefetched is not None:
            return prefetched
        found = self._lent.get(ref.blob)
        if found is None:
            return self._store.get(ref)
        loan, place = found
        return loan.get(place)

    def _find_prefetched(self, ref: BlobRef) -> bytes | BlobError | None:
        blobs: dict[str, bytes | BlobError] = getattr(self._prefetched, "blobs", {})
        return blobs.get(ref.blob)

    def get_many(self, refs: Sequence[BlobRef]) -> list[bytes | BlobError]:
        """The bytes of many, in order; one that fails is its own error."""
        if not any(ref.blob in self._lent for ref in refs):
            return self._store.get_many(refs)
        return [self._get_outcome(ref) for ref in refs]

    def _get_outcome(self, ref: BlobRef) -> bytes | BlobError:
        try:
            return self.get(ref)
        except PaddlewheelError as err:
            # An address that leads nowhere is to its caller what a missing blob is.
            return err  # type: ignore[return-value]

    def put(self, data: bytes) -> StoredBlob:
        """Store one blob."""
        return self._store.put(data)

    def put_many(self, data: Sequence[bytes]) -> list[StoredBlob]:
        """Store many, in order."""
        return self._store.put_many(data)

    def sweep(self, limit: int = 1_000) -> int:
        """Delete expired blobs."""
        return self._store.sweep(limit)

    def close(self) -> None:
        """End the fetching; the store is closed with it."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()
