"""The leases of the shards that this worker runs, renewed in the background while they are held."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from job_store.batch_shards import BatchShards, ClaimedShard
from paddlewheel.errors import PaddlewheelError, TaskCancelled

RENEWALS: Final = 4
"""Renewals in the life of a lease: one that is late, or fails with the database, costs nothing yet."""

Key: TypeAlias = tuple[str, int, str]

log = logging.getLogger(__name__)


class Leases:
    """`seconds` is how long a worker may be silent before its shards go to another."""

    def __init__(self, shards: BatchShards, seconds: float) -> None:
        self.seconds = seconds
        self._shards = shards
        self._held: set[Key] = set()
        self._lost: set[Key] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batch-leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def close(self) -> None:
        """Stop renewing."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @contextmanager
    def hold(self, claimed: ClaimedShard) -> Iterator[None]:
        """Keep a shard's lease alive within the block."""
        with self._lock:
            self._held.add(claimed.key)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(claimed.key)
                self._lost.discard(claimed.key)

    def check(self, claimed: ClaimedShard) -> None:
        """Raise TaskCancelled for a shard that another worker has taken, or whose job was stopped."""
        if claimed.key in self._lost:
            raise TaskCancelled(f"Batch job {claimed.job.id} was stopped, or another worker has the shard.")

    def renew(self) -> None:
        """Renew every held lease once."""
        with self._lock:
            held = set(self._held)
        if held:
            kept = self._shards.renew(list(held), self.seconds)
            with self._lock:
                self._lost |= (held - kept) & self._held

    def _run(self) -> None:
        while not self._stop.wait(self.seconds / RENEWALS):
            try:
                self.renew()
            except PaddlewheelError as err:
                log.warning("the leases of shards could not be renewed: %s", err.message)
            except Exception:
                # Without renewals every shard would be done twice.
                log.exception("the leases of shards could not be renewed")
