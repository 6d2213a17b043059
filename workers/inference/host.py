"""One model process for one device, as the worker sees it: start it, run batches, replace it when it dies."""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

from paddlewheel.errors import ModelCrashed, ModelTimeout, ModelUnavailable, PaddlewheelError
from workers.inference.child import ModelChild
from workers.inference.host_config import HostConfig, LoadedModel
from workers.inference.host_states import HostEvent, HostLifecycle, HostState
from workers.inference.lane import BatchOutput, Lane
from workers.inference.recycling import RecyclingPolicy
from workers.inference.watchdog import MemoryExceededError, Watchdog
from workers.processes.frames import BrokenFrameError, send_frame

LANES: Final = 2
"""Batches in a process at a time: one runs while the next one is already laid out in memory."""

_REVIVE_PAUSE: Final = 1.0
_START_ATTEMPTS: Final = 3

log = logging.getLogger(__name__)


class HostLostError(Exception):
    """The process died or was killed. `guilty` says whether this batch was the one that it was running."""

    def __init__(self, error: PaddlewheelError, *, guilty: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.guilty = guilty


class ModelHost:
    """Each lane is used by one thread at a time; different lanes may be used at once.

    Every change of state goes through `HostLifecycle`, under the lock of `_changed`.
    """

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._recycling = RecyclingPolicy(config.memory, overlap=config.overlap)
        self._watchdog = Watchdog(config.batch_timeout, config.memory)
        self._changed = threading.Condition()
        self._lifecycle = HostLifecycle()
        self._lanes = [Lane(index) for index in range(LANES)]
        self._child: ModelChild | None = None
        self._successor: ModelChild | None = None
        self._batches = 0
        self.models: dict[str, LoadedModel] = {}

    @property
    def generation(self) -> int:
        """How many processes there have been."""
        return self._lifecycle.starts

    @property
    def pid(self) -> int | None:
        """The process's id."""
        child = self._child
        return child.pid if child else None

    @property
    def resident_bytes(self) -> int:
        """The process's own memory; 0 while there is none."""
        child = self._child
        return child.resident_bytes() if child else 0

    @property
    def available(self) -> bool:
        """Whether there is a process; otherwise the next batch has to wait until one is started."""
        return self._lifecycle.state.available

    @property
    def failed(self) -> bool:
        """Whether the last attempt to start a process failed."""
        return self._lifecycle.state.failed

    def start(self) -> None:
        """Start the process, load and warm up its models. Raises ModelUnavailable."""
        with self._changed:
            self._start_process()

    def revive(self) -> None:
        """Start a process if there is none; wait a moment instead if a start has just failed."""
        with self._changed:
            if self._lifecycle.state is HostState.FAILED and not self._lifecycle.may_start:
                self._changed.wait(_REVIVE_PAUSE)
                return
            with contextlib.suppress(ModelUnavailable):
                self._ensure_process()

    def infer(
        self, lane: int, model: str, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> BatchOutput:
        """Run equally shaped items, each a tensor for every input of the model, as one batch.

        Raises HostLostError when the process died meanwhile (the next batch, or `revive`, starts another),
        ModelFailed when the model raised, ModelUnavailable when no process can be started.
        """
        child, number = self._acquire()
        try:
            return self._run(child, number, self._lanes[lane], model, ids, items)
        finally:
            self._release(child)

    def close(self) -> None:
        """Stop the process; a second call does nothing."""
        with self._changed:
            if self._lifecycle.state is HostState.CLOSED:
                return
            self._lifecycle.apply(HostEvent.CLOSE)
            if self._successor is not None:
                self._successor.end()
            if self._child is not None:
                self._child.end()
                self._child.dispose_if_unused()
            self._child = None
            self._changed.notify_all()
            for lane in self._lanes:
                lane.close()

    def _acquire(self) -> tuple[ModelChild, int]:
        """The process that runs the next batch, and a number for the batch.

        The process is looked up here, once: the other lane may replace it at any moment, and the new process
        never answers a request that was sent to the old one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lifecycle.state is not HostState.DRAINING)
            if self._child is not None and self._lifecycle.state is HostState.SERVING:
                self._recycle_if_due(self._child)
            self._ensure_process()
            if self._child is None:
                raise ModelUnavailable("The model process is not running; the worker's log says why.")
            self._batches += 1
            self._child.users += 1
            return self._child, self._batches

    def _release(self, child: ModelChild) -> None:
        """A process that has been replaced ends with the last batch that waits for it."""
        with self._changed:
            child.users -= 1
            if child is not self._child:
                child.dispose_if_unused()
            self._changed.notify_all()

    def _run(
        self,
        child: ModelChild,
        number: int,
        lane: Lane,
        model: str,
        ids: Sequence[int],
        items: Sequence[tuple[NDArray[Any], ...]],
    ) -> BatchOutput:
        request = lane.write_request(model, number, ids, items)
        error: PaddlewheelError
        try:
            send_frame(child.links[lane.index], request)
            return lane.read_reply(number, ids, self._watchdog.receive(child, lane.index))
        except TimeoutError as err:
            error = ModelTimeout(f"The model {model} gave no answer in {self._config.batch_timeout:g} s.")
            raise self._discard(child, lane, error) from err
        except MemoryExceededError as err:
            error = ModelCrashed(f"The model {model} was stopped: {err}.")
            raise self._discard(child, lane, error) from err
        except (EOFError, OSError) as err:
            error = ModelCrashed(f"The process of model {model} died: {err}.")
            raise self._discard(child, lane, error) from err
        except (BrokenFrameError, KeyError, TypeError, ValueError) as err:
            # Nothing that follows on this link can be trusted.
            error = ModelCrashed(f"The process of model {model} answered nonsense: {err}.")
            raise self._discard(child, lane, error, guilty=True) from err

    def _discard(
        self, child: ModelChild, lane: Lane, error: PaddlewheelError, *, guilty: bool = False
    ) -> HostLostError:
        """End the process, once for all lanes that notice; the error says whether this lane is guilty."""
        with self._changed:
            child.end()
            if child is self._child:
                self._child = None
                self._lifecycle.apply(HostEvent.PROCESS_LOST)
                log.warning("%s", error.message)
            return HostLostError(error, guilty=guilty or child.culprit == lane.index)

    def _ensure_process(self) -> None:
        """Start a process if there is none, unless a start has just failed or a successor is loading.

        What killed one process may kill the next while it loads, so this makes several attempts.
        """
        self._changed.wait_for(lambda: self._lifecycle.state is not HostState.AWAITING_SUCCESSOR)
        if not self._lifecycle.may_start:
            return
        for left in reversed(range(_START_ATTEMPTS)):
            try:
                self._start_process()
            except ModelUnavailable as err:
                if not left:
                    raise
                log.warning("%s Trying again.", err.message)
            else:
                return

    def _start_process(self) -> None:
        """Load the models in a new process. Keeps the lock throughout: without a process nothing can run."""
        self._lifecycle.apply(HostEvent.START)
        child: ModelChild | None = None
        try:
            child = ModelChild(self._lanes, self._config.environment)
            self.models = child.load(self._config)
        except BaseException:
            if child is not None:
                child.dispose()
            self._lifecycle.apply(HostEvent.LOAD_FAILED)
            raise
        self._child = child
        self._lifecycle.apply(HostEvent.LOADED)

    def _recycle_if_due(self, child: ModelChild) -> None:
        """Replace a process that takes too much memory, without losing a batch."""
        taken = child.resident_bytes()
        if not self._recycling.is_due(taken, child.loaded_bytes):
            return
        log.warning("the model process takes %d MB: replacing it", taken >> 20)
        if self._recycling.can_overlap(taken, child.loaded_bytes):
            self._start_successor(child)
        else:
            self._drain_and_restart(child)

    def _start_successor(self, child: ModelChild) -> None:
        """Replace the process while it serves.

        This thread starts the successor, as a process ends with the thread that started it; another thread
        waits until it has loaded, so that this one can run batches meanwhile.
        """
        try:
            successor = ModelChild(self._lanes, self._config.environment)
        except OSError as err:
            log.error("No second model process can be started: %s.", err)
            return
        self._lifecycle.apply(HostEvent.REPLACE)
        self._successor = successor
        threading.Thread(
            target=self._switch_over, args=(child, successor), name="recycle", daemon=True
        ).start()

    def _switch_over(self, child: ModelChild, successor: ModelChild) -> None:
        began = time.monotonic()
        loaded = False
        try:
            self.models = successor.load(self._config)
            loaded = True
        except ModelUnavailable as err:
            log.error("%s The old process continues to serve.", err.message)
        finally:
            with self._changed:
                self._successor = None
                closed = self._lifecycle.state is HostState.CLOSED
                if not loaded or successor.culprit is not None or closed:
                    successor.dispose()
                    if not closed:
                        self._lifecycle.apply(HostEvent.LOAD_FAILED)
                else:
                    self._child = successor
                    self._lifecycle.apply(HostEvent.LOADED)
                    child.dispose_if_unused()
                    log.warning(
                        "the model process was replaced without a pause in %.1f s", time.monotonic() - began
                    )
                self._changed.notify_all()

    def _drain_and_restart(self, child: ModelChild) -> None:
        """Replace the process once its batches are answered; new batches wait."""
        self._lifecycle.apply(HostEvent.DRAIN)
        self._changed.wait_for(lambda: not child.users or child is not self._child)
        if child is not self._child:
            return
        began = time.monotonic()
        try:
            child.dispose()
            self._child = None
            self._lifecycle.apply(HostEvent.DRAINED)
            self._ensure_process()
            log.warning("the model process was replaced in a pause of %.1f s", time.monotonic() - began)
        finally:
            self._changed.notify_all()
