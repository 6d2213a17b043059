"""Futures by task id, each shared by everyone who waits for that task."""

import asyncio
from collections.abc import Callable, Iterable

from paddlewheel.wire.result_store import TaskRecord, unreadable_record


class Waiters:
    """A future is outstanding until its record has come, and is kept until the last waiter is removed."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[TaskRecord]] = {}
        self._counts: dict[str, int] = {}

    def ids(self) -> list[str]:
        """Every task that somebody waits for, answered or not."""
        return list(self._futures)

    def outstanding(self) -> list[str]:
        """The tasks whose record has not come."""
        return [task_id for task_id in self._futures if self.is_outstanding(task_id)]

    def is_outstanding(self, task_id: str) -> bool:
        """Whether somebody waits for the task and its record has not come."""
        future = self._futures.get(task_id)
        return future is not None and not future.done()

    def add(self, task_ids: Iterable[str]) -> dict[str, "asyncio.Future[TaskRecord]"]:
        """One more waiter for each task; the futures by task id. Call it in a running loop."""
        loop = asyncio.get_running_loop()
        futures = {}
        for task_id in task_ids:
            if task_id not in self._futures:
                self._futures[task_id] = loop.create_future()
            self._counts[task_id] = self._counts.get(task_id, 0) + 1
            futures[task_id] = self._futures[task_id]
        return futures

    def remove(self, task_ids: Iterable[str]) -> list[str]:
        """One waiter fewer for each task; the tasks for which nobody waits now."""
        unwanted = []
        for task_id in task_ids:
            left = self._counts.get(task_id, 1) - 1
            if left:
                self._counts[task_id] = left
                continue
            self._counts.pop(task_id, None)
            _discard(self._futures.pop(task_id, None))
            unwanted.append(task_id)
        return unwanted

    def resolve(self, task_id: str, raw: bytes | str) -> None:
        """Give a finished record to its waiters; one that cannot be read is an error of theirs alone."""
        if not self.is_outstanding(task_id):
            return
        try:
            record = TaskRecord.parse(raw)
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            record = unreadable_record(task_id, err)
        if record.finished:
            self._futures[task_id].set_result(record)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """Raise an error, each task its own, for everyone whose record has not come."""
        for task_id in self.outstanding():
            self._futures[task_id].set_exception(make_error())

    def cancel(self) -> None:
        """Cancel everyone."""
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()


def _discard(future: "asyncio.Future[TaskRecord] | None") -> None:
    if future is None:
        return
    if not future.done():
        future.cancel()
    elif not future.cancelled():
        future.exception()  # retrieved, so that asyncio does not log it
