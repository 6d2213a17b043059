"""The field `served` of a result: the model, its batches and the time they took."""

import time
from collections.abc import Mapping, Sequence

from paddlewheel.contracts.results import Served
from tasks.context import TaskContext
from workers.inference.items import Answer


class ServingNotes:
    """Writes `served` into results. `models` says of each what it runs on."""

    def __init__(self, models: Mapping[str, Served]) -> None:
        self._models = models

    def note(self, model: str, answers: Sequence[Answer], task: TaskContext, began: float) -> Served:
        """The largest figures of the answers; `began` is of `time.perf_counter`."""
        return self._models[model].model_copy(
            update={
                "queue_ms": task.queue_ms,
                "batch_wait_ms": max((each.batch_wait_ms for each in answers), default=0.0),
                "batch_size": max((each.batch_size for each in answers), default=0),
                "model_ms": max((each.model_ms for each in answers), default=0.0),
                "total_ms": (time.perf_counter() - began) * 1000,
            }
        )
