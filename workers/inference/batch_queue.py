"""Items that wait for a batch: one queue per model and shape, and the choice of the next batch.

It knows no thread: the batcher calls it while it holds its own lock.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workers.inference.items import BatchItem, Bucket


@dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """`max_wait_time` is in seconds; `max_pending` items may wait, then `submit` blocks.

    `max_batch_sizes` holds what differs from `max_batch_size`, by model.
    """

    max_batch_size: int = 8
    max_wait_time: float = 0.002
    max_pending: int = 256
    max_batch_sizes: Mapping[str, int] = field(default_factory=dict)

    def size(self, model: str) -> int:
        """The largest batch of this model."""
        return self.max_batch_sizes.get(model, self.max_batch_size)


class BatchQueue:
    """In every bucket interactive items and bulk items wait apart, each in the order of their arrival."""

    def __init__(self, options: BatchingOptions) -> None:
        self._options = options
        self._buckets: dict[Bucket, tuple[deque[BatchItem], deque[BatchItem]]] = {}
        self.pending = 0
        """Items that wait."""

    def append(self, item: BatchItem) -> None:
        """Queue one item."""
        self._queue_of(item).append(item)
        self.pending += 1

    def put_back(self, batch: Sequence[BatchItem]) -> None:
        """Queue a batch again, before all others of its bucket."""
        for item in reversed(batch):
            self._queue_of(item).appendleft(item)
        self.pending += len(batch)

    def is_full(self, bucket: Bucket) -> bool:
        """Whether a whole batch waits in it."""
        return sum(map(len, self._buckets[bucket])) >= self._options.size(bucket[0])

    def choose(self, now: float, *, idle: bool, closing: bool) -> tuple[Bucket | None, float | None]:
        """The bucket to take a batch from, or the seconds until there may be one (None: unknown).

        A full bucket is ready at once, another one when its host is `idle` and its oldest item has waited
        long enough; while `closing` no item waits any longer.
        """
        best: Bucket | None = None
        best_due = pause = float("inf")
        for bucket, queues in self._buckets.items():
            heads = [queue[0] for queue in queues if queue]
            wait = min(head.arrived for head in heads) + self._options.max_wait_time - now
            if not self.is_full(bucket) and not (idle and (wait <= 0 or closing)):
                pause = min(pause, wait) if idle else pause
                continue
            due = min(head.due for head in heads)
            if due < best_due:
                best, best_due = bucket, due
        return best, None if pause == float("inf") else max(pause, 0.0)

    def take(self, bucket: Bucket) -> list[BatchItem]:
        """Remove one batch, of the items that are due first."""
        queues = self._buckets[bucket]
        batch: list[BatchItem] = []
        while len(batch) < self._options.size(bucket[0]) and any(queues):
            queue = min((queue for queue in queues if queue), key=lambda queue: queue[0].due)
            batch.append(queue.popleft())
        if not any(queues):
            del self._buckets[bucket]
        self.pending -= len(batch)
        return batch

    def _queue_of(self, item: BatchItem) -> deque[BatchItem]:
        interactive, bulk = self._buckets.setdefault(item.bucket, (deque(), deque()))
        return bulk if item.task.priority == "bulk" else interactive
