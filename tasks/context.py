"""What a resource has to know of the task it works for."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from paddlewheel.contracts.base import Priority
from paddlewheel.errors import DeadlineExceeded, TaskCancelled


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """One delivery of one task. `deadline` is seconds since the epoch, `queue_ms` the wait in the queue.

    `request_id` names the request that it came of, where its producer said so.
    """

    task_id: str
    request_id: str = ""
    priority: Priority = "interactive"
    deadline: float | None = None
    queue_ms: float | None = None
    is_cancelled: Callable[[str], bool] = lambda _: False

    def check(self) -> None:
        """Raise if the answer is no longer wanted. Called before anything that costs time."""
        if self.is_cancelled(self.task_id):
            raise TaskCancelled(f"The task {self.task_id} was cancelled.")
        if self.deadline is not None and time.time() > self.deadline:
            late = time.time() - self.deadline
            raise DeadlineExceeded(
                f"The deadline of task {self.task_id} passed {late:.1f} s before a model saw it."
            )
