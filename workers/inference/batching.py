"""The dynamic batcher: items of many tasks, one batch of equally shaped tensors at a time.

Items wait in a queue per model and shape, so that an answer never depends on its neighbours: nothing is
padded to fit another. A batch is taken when it is full, or when its model process is idle and the oldest
item has waited `max_wait_time`; while a batch runs, the next one grows. A batch that kills the process or
that the model refuses is halved until the item that does it is alone; the others are answered.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from paddlewheel.errors import InternalError, ModelCrashed, ModelFailed, ModelUnavailable, PaddlewheelError
from tasks.context import TaskContext
from workers.inference.host import LANES, HostLostError
from workers.inference.lane import BatchOutput

BULK_PATIENCE: Final = 2.0
"""Seconds that bulk items let interactive ones overtake them; then their turn has come."""

INNOCENT_TRIES: Final = 3
"""How often a batch that merely waited while the process died is run."""

CRASH_TRIES: Final = 2
"""How often an item runs alone before a dead process is its fault: a kill may come from outside."""

log = logging.getLogger(__name__)


class Host(Protocol):
    """What the batcher needs of a model process."""

    def infer(
        self, lane: int, model: str, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> BatchOutput:
        """Run one batch."""

    @property
    def available(self) -> bool:
        """Whether it can run anything."""

    def revive(self) -> None:
        """Try to become available again; waits a moment."""


class BatchObserver(Protocol):
    """Hears of every batch that was answered."""

    def ran(self, model: str, waits: Sequence[float], seconds: float) -> None:
        """`waits` of the items before the batch, `seconds` of the batch in the model."""


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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One item's outputs, without the batch dimension, and how they came about (milliseconds)."""

    outputs: tuple[NDArray[Any], ...]
    batch_size: int
    batch_wait_ms: float
    model_ms: float


@dataclass(frozen=True, eq=False)
class _Item:
    id: int
    model: str
    tensors: tuple[NDArray[Any], ...]
    task: TaskContext
    arrived: float
    future: "Future[Answer]"

    @property
    def turn(self) -> float:
        return self.arrived + (BULK_PATIENCE if self.task.priority == "bulk" else 0.0)


_Bucket = tuple[str, tuple[tuple[tuple[int, ...], str], ...]]


class DynamicBatcher:
    """Owns the threads that feed the model processes: two to a process, so that one batch is laid out
    while another runs."""

    def __init__(
        self,
        hosts: Sequence[Host],
        options: BatchingOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        observer: BatchObserver | None = None,
    ) -> None:
        self._options = options
        self._observer = observer
        self._clock = clock
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._queues: dict[_Bucket, tuple[deque[_Item], deque[_Item]]] = {}
        self._pending = 0
        self._hosts = hosts
        self._running = [0] * len(hosts)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._feed, args=(number, host, lane), name=f"batcher-{number}.{lane}")
            for number, host in enumerate(hosts)
            for lane in range(LANES)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pending(self) -> int:
        """Items that wait for a batch."""
        return self._pending

    def submit(self, model: str, tensors: tuple[NDArray[Any], ...], task: TaskContext) -> "Future[Answer]":
        """Queue one item, a tensor for each of the model's inputs; blocks while too many wait.

        The future raises the item's typed error.
        """
        future: Future[Answer] = Future()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._pending < self._options.max_pending)
            if self._closed:
                raise InternalError("The worker is shutting down.")
            item = _Item(next(self._ids), model, tensors, task, self._clock(), future)
            self._queue_of(item).append(item)
            self._pending += 1
            # While every host works, only a full batch changes what comes next: waking the threads for
            # each item cost an eighth of the worker's time.
            if 0 in self._running or self._is_full(self._bucket_of(item)):
                self._changed.notify_all()
        return future

    def close(self) -> None:
        """Answer what waits, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _bucket_of(self, item: _Item) -> _Bucket:
        return item.model, tuple((each.shape, each.dtype.str) for each in item.tensors)

    def _is_full(self, bucket: _Bucket) -> bool:
        return sum(map(len, self._queues[bucket])) >= self._options.size(bucket[0])

    def _queue_of(self, item: _Item) -> deque[_Item]:
        interactive, bulk = self._queues.setdefault(self._bucket_of(item), (deque(), deque()))
        return bulk if item.task.priority == "bulk" else interactive

    def _feed(self, number: int, host: Host, lane: int) -> None:
        while (batch := self._next_batch(number)) is not None:
            if not batch:
                host.revive()
                continue
            try:
                wanted = [item for item in batch if _still_wanted(item)]
                if wanted:
                    self._run(host, lane, wanted)
            finally:
                with self._changed:
                    self._running[number] -= 1
                    self._changed.notify_all()

    def _next_batch(self, number: int) -> list[_Item] | None:
        """The next batch of a host; empty if it had better be revived, None at the end."""
        with self._changed:
            while True:
                down = not self._hosts[number].available
                if not (down and self._others_available(number)):
                    bucket, pause = self._choose(idle=self._running[number] == 0)
                    if bucket is not None:
                        self._running[number] += 1
                        return self._take(bucket)
                if self._closed and not self._pending:
                    return None
                if down:
                    return []
                self._changed.wait(pause)

    def _others_available(self, number: int) -> bool:
        """While another host works, one that does not must not be the faster of the two, at failing items."""
        return any(host.available for other, host in enumerate(self._hosts) if other != number)

    def _choose(self, *, idle: bool) -> tuple[_Bucket | None, float | None]:
        """The bucket whose turn has come, or how long until one's may have."""
        now = self._clock()
        best: _Bucket | None = None
        best_turn = pause = float("inf")
        for bucket, queues in self._queues.items():
            heads = [queue[0] for queue in queues if queue]
            full = self._is_full(bucket)
            wait = min(head.arrived for head in heads) + self._options.max_wait_time - now
            if not full and not (idle and (wait <= 0 or self._closed)):
                pause = min(pause, wait) if idle else pause
                continue
            turn = min(head.turn for head in heads)
            if turn < best_turn:
                best, best_turn = bucket, turn
        return best, None if pause == float("inf") else max(pause, 0.0)

    def _take(self, bucket: _Bucket) -> list[_Item]:
        queues = self._queues[bucket]
        batch: list[_Item] = []
        while len(batch) < self._options.size(bucket[0]) and any(queues):
            queue = min((queue for queue in queues if queue), key=lambda queue: queue[0].turn)
            batch.append(queue.popleft())
        if not any(queues):
            del self._queues[bucket]
        self._pending -= len(batch)
        self._changed.notify_all()
        return batch

    def _run(self, host: Host, lane: int, batch: list[_Item], *, innocent: int = 1, crashes: int = 1) -> None:
        """`innocent` and `crashes` count this try: see INNOCENT_TRIES and CRASH_TRIES."""
        taken = self._clock()
        try:
            done = host.infer(
                lane, batch[0].model, [item.id for item in batch], [item.tensors for item in batch]
            )
        except HostLostError as err:
            self._lost(host, lane, batch, err, innocent=innocent, crashes=crashes)
        except (ModelFailed, ModelCrashed) as err:
            self._halve(host, lane, batch, err)
        except ModelUnavailable as err:
            if not self._put_back(host, batch):
                _fail(batch, err)
        except PaddlewheelError as err:
            _fail(batch, err)
        except Exception:
            log.exception("a batch of %s failed unexpectedly", batch[0].model)
            _fail(batch, InternalError("The batch failed unexpectedly; the worker's log has the details."))
        else:
            for row, item in enumerate(batch):
                answer = Answer(
                    outputs=tuple(output[row].copy() for output in done.outputs),
                    batch_size=len(batch),
                    batch_wait_ms=(taken - item.arrived) * 1000,
                    model_ms=done.model_ms,
                )
                item.future.set_result(answer)
            if self._observer is not None:
                self._observer.ran(
                    batch[0].model, [taken - item.arrived for item in batch], done.model_ms / 1000
                )

    def _lost(
        self, host: Host, lane: int, batch: list[_Item], err: HostLostError, *, innocent: int, crashes: int
    ) -> None:
        if not err.guilty and self._put_back(host, batch):
            return
        if not err.guilty and innocent < INNOCENT_TRIES:
            self._run(host, lane, batch, innocent=innocent + 1, crashes=crashes)
        elif len(batch) == 1 and isinstance(err.error, ModelCrashed) and crashes < CRASH_TRIES:
            self._run(host, lane, batch, innocent=innocent, crashes=crashes + 1)
        else:
            self._halve(host, lane, batch, err.error)

    def _put_back(self, host: Host, batch: list[_Item]) -> bool:
        """Leave a batch to another host, if one is there, instead of waiting for this one to come back."""
        if not self._others_available(self._hosts.index(host)):
            return False
        with self._changed:
            for item in reversed(batch):
                self._queue_of(item).appendleft(item)
            self._pending += len(batch)
            self._changed.notify_all()
        return True

    def _halve(self, host: Host, lane: int, batch: list[_Item], error: PaddlewheelError) -> None:
        if len(batch) == 1:
            _fail(batch, error)
            return
        middle = len(batch) // 2
        self._run(host, lane, batch[:middle])
        self._run(host, lane, batch[middle:])


def _still_wanted(item: _Item) -> bool:
    """Drop what nobody waits for any more before it costs a model's time."""
    try:
        item.task.check()
    except PaddlewheelError as err:
        item.future.set_exception(err)
        return False
    return True


def _fail(batch: list[_Item], error: PaddlewheelError) -> None:
    for item in batch:
        # An exception object of its own for each caller: tracebacks are attached to the object.
        item.future.set_exception(type(error)(error.message))
