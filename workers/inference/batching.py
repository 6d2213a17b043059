"""The dynamic batcher: items of many tasks, one batch of equally shaped tensors at a time.

Items wait in a queue per model and shape, so that an answer never depends on its neighbours: nothing is
padded to fit another. A batch is taken when it is full, or when its model process is idle and the oldest
item has waited `max_wait_time`; while a batch runs, the next one grows. A batch that kills the process or
that the model refuses is bisected until the item at fault is alone; the others are answered.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from numpy.typing import NDArray

from paddlewheel.errors import InternalError
from tasks.context import TaskContext
from workers.inference.batch_queue import BatchingOptions, BatchQueue
from workers.inference.batch_run import BatchObserver, BatchRunner, Host
from workers.inference.host import LANES
from workers.inference.items import Answer, BatchItem


class DynamicBatcher:
    """Owns the threads that feed the model processes: one for each lane of each process, so that one batch
    is laid out while another runs."""

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
        self._queue = BatchQueue(options)
        self._hosts = hosts
        self._running = [0] * len(hosts)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._feed, args=(number, lane), name=f"batcher-{number}.{lane}")
            for number in range(len(hosts))
            for lane in range(LANES)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pending(self) -> int:
        """Items that wait for a batch."""
        return self._queue.pending

    def submit(self, model: str, tensors: tuple[NDArray[Any], ...], task: TaskContext) -> "Future[Answer]":
        """Queue one item, a tensor for each of the model's inputs; blocks while too many wait.

        The future raises the item's typed error.
        """
        future: Future[Answer] = Future()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.pending < self._options.max_pending)
            if self._closed:
                raise InternalError("The worker is shutting down.")
            item = BatchItem(next(self._ids), model, tensors, task, self._clock(), future)
            self._queue.append(item)
            # While every host works, only a full batch changes what comes next: waking the threads for
            # each item cost an eighth of the worker's time.
            if 0 in self._running or self._queue.is_full(item.bucket):
                self._changed.notify_all()
        return future

    def close(self) -> None:
        """Answer what waits, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _feed(self, number: int, lane: int) -> None:
        host = self._hosts[number]
        runner = BatchRunner(
            host,
            lane,
            clock=self._clock,
            observer=self._observer,
            hand_over=partial(self._hand_over, number),
        )
        while (batch := self._next_batch(number)) is not None:
            if not batch:
                host.revive()
                continue
            try:
                runner.run(batch)
            finally:
                with self._changed:
                    self._running[number] -= 1
                    self._changed.notify_all()

    def _next_batch(self, number: int) -> list[BatchItem] | None:
        """The next batch of a host; empty when the host has to be revived first, None at the end."""
        with self._changed:
            while True:
                down = not self._hosts[number].available
                if not (down and self._others_available(number)):
                    bucket, pause = self._queue.choose(
                        self._clock(), idle=self._running[number] == 0, closing=self._closed
                    )
                    if bucket is not None:
                        self._running[number] += 1
                        self._changed.notify_all()
                        return self._queue.take(bucket)
                if self._closed and not self.pending:
                    return None
                if down:
                    return []
                self._changed.wait(pause)

    def _others_available(self, number: int) -> bool:
        """Whether another host works: then one that is down takes no batch, which it would only fail."""
        return any(host.available for other, host in enumerate(self._hosts) if other != number)

    def _hand_over(self, number: int, batch: list[BatchItem]) -> bool:
        """Leave a batch to another host, if one is available, instead of waiting for this one to return."""
        if not self._others_available(number):
            return False
        with self._changed:
            self._queue.put_back(batch)
            self._changed.notify_all()
        return True
