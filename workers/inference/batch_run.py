"""Runs a batch on a model process, and bisects one that fails until the item at fault is alone."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from paddlewheel.errors import InternalError, ModelCrashed, ModelFailed, ModelUnavailable, PaddlewheelError
from workers.inference.host import HostLostError
from workers.inference.items import Answer, BatchItem
from workers.inference.lane import BatchOutput

INNOCENT_TRIES: Final = 3
"""How often a batch that was waiting when its process died is run."""

CRASH_TRIES: Final = 2
"""How often an item runs alone before its process's death is blamed on it: a kill may come from outside."""

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


class BatchRunner:
    """Answers every item of a batch, in one lane of one host.

    `hand_over` offers the batch to the other hosts and says whether one of them takes it.
    """

    def __init__(
        self,
        host: Host,
        lane: int,
        *,
        clock: Callable[[], float],
        observer: BatchObserver | None,
        hand_over: Callable[[list[BatchItem]], bool],
    ) -> None:
        self._host = host
        self._lane = lane
        self._clock = clock
        self._observer = observer
        self._hand_over = hand_over

    def run(self, batch: list[BatchItem]) -> None:
        """Run what is still wanted."""
        wanted = [item for item in batch if _is_wanted(item)]
        if wanted:
            self._run(wanted)

    def _run(self, batch: list[BatchItem], *, innocent: int = 1, crashes: int = 1) -> None:
        """`innocent` and `crashes` count this attempt: see INNOCENT_TRIES and CRASH_TRIES."""
        taken = self._clock()
        model = batch[0].model
        try:
            done = self._host.infer(
                self._lane, model, [item.id for item in batch], [item.tensors for item in batch]
            )
        except HostLostError as err:
            self._retry_or_bisect(batch, err, innocent=innocent, crashes=crashes)
        except (ModelFailed, ModelCrashed) as err:
            self._bisect(batch, err)
        except ModelUnavailable as err:
            if not self._hand_over(batch):
                _fail(batch, err)
        except PaddlewheelError as err:
            _fail(batch, err)
        except Exception:
            log.exception("a batch of %s failed unexpectedly", model)
            _fail(batch, InternalError("The batch failed unexpectedly; the worker's log has the details."))
        else:
            self._answer(batch, done, taken)

    def _answer(self, batch: list[BatchItem], done: BatchOutput, taken: float) -> None:
        for row, item in enumerate(batch):
            answer = Answer(
                outputs=tuple(output[row].copy() for output in done.outputs),
                batch_size=len(batch),
                batch_wait_ms=(taken - item.arrived) * 1000,
                model_ms=done.model_ms,
            )
            item.future.set_result(answer)
        if self._observer is not None:
            waits = [taken - item.arrived for item in batch]
            self._observer.ran(batch[0].model, waits, done.model_ms / 1000)

    def _retry_or_bisect(
        self, batch: list[BatchItem], err: HostLostError, *, innocent: int, crashes: int
    ) -> None:
        if not err.guilty and self._hand_over(batch):
            return
        if not err.guilty and innocent < INNOCENT_TRIES:
            self._run(batch, innocent=innocent + 1, crashes=crashes)
        elif len(batch) == 1 and isinstance(err.error, ModelCrashed) and crashes < CRASH_TRIES:
            self._run(batch, innocent=innocent, crashes=crashes + 1)
        else:
            self._bisect(batch, err.error)

    def _bisect(self, batch: list[BatchItem], error: PaddlewheelError) -> None:
        if len(batch) == 1:
            _fail(batch, error)
            return
        middle = len(batch) // 2
        self._run(batch[:middle])
        self._run(batch[middle:])


def _is_wanted(item: BatchItem) -> bool:
    """Whether somebody still waits for the item; otherwise its future gets the reason."""
    try:
        item.task.check()
    except PaddlewheelError as err:
        item.future.set_exception(err)
        return False
    return True


def _fail(batch: list[BatchItem], error: PaddlewheelError) -> None:
    for item in batch:
        # Each caller gets an exception object of its own: tracebacks are attached to the object.
        item.future.set_exception(type(error)(error.message))
