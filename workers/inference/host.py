"""One model process for one device, seen from the worker: start it, run batches, replace it when it dies."""

import contextlib
import logging
import select
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from paddlewheel.errors import ModelCrashed, ModelTimeout, ModelUnavailable, PaddlewheelError, error_from
from workers.inference.child import ModelChild, free_bytes
from workers.inference.layout import read_ids, write_batch
from workers.inference.memory import LOOK_SECONDS, MemoryBounds
from workers.models.engines.session import ItemShapes, SessionOptions
from workers.processes.arena import Arena
from workers.processes.frames import BrokenFrameError, receive_frame, send_frame

SLOTS: Final = 2
"""Batches in a process at a time: one runs while the next one is already laid out in memory."""

OPEN_NETWORK: Final = "workers.inference.process:open_network"
"""What a model process calls with a model's directory and options; fault tests name another function."""

_TICK: Final = 0.2
_RESPAWN_PAUSE: Final = 5.0
_REVIVE_PAUSE: Final = 1.0
_RESPAWNS: Final = 3
_MARGIN: Final = 1.5
"""Memory that has to be free for a second process beside the first, in sizes of a fresh one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model that the process loads.

    `warm_up` are items to run once, each the shapes of its tensors, such as ((3, 48, 320),).
    """

    name: str
    path: Path
    options: SessionOptions
    warm_up: tuple[ItemShapes, ...] = ()
    loader: str = OPEN_NETWORK


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """`start_timeout` covers loading and warm-up, `batch_timeout` one batch from its start; in seconds.

    A process that outgrows its memory is replaced while it goes on working where `overlap` allows two at a
    time.
    """

    models: tuple[HostedModel, ...]
    start_timeout: float = 180.0
    batch_timeout: float = 60.0
    memory: MemoryBounds = field(default_factory=MemoryBounds)
    overlap: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """What a model came to run on."""

    engine: str
    device: str


@dataclass(frozen=True, kw_only=True)
class BatchOutput:
    """A batch's outputs, each (N, ...), and the model's own time for it."""

    outputs: tuple[NDArray[Any], ...]
    model_ms: float


class HostLostError(Exception):
    """The process died or was killed. `guilty` says whether this batch was the one that it was running."""

    def __init__(self, error: PaddlewheelError, *, guilty: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.guilty = guilty


class _RunawayError(Exception):
    """The process takes far more memory than it may."""


class _Lane:
    """This side of a slot."""

    def __init__(self) -> None:
        self.inputs = Arena()
        self.outputs = Arena()

    def close(self) -> None:
        self.inputs.close()
        self.outputs.close()


class ModelHost:
    """Each slot is used by one thread at a time; different slots may be used at once."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._changed = threading.Condition()
        self._lanes = [_Lane() for _ in range(SLOTS)]
        self._child: ModelChild | None = None
        self._successor: ModelChild | None = None
        self._recycling = False
        self._paused = False
        self._number = 0
        self._tried_at = float("-inf")
        self._failed = False
        self._closed = False
        self.generation = 0
        """How many processes there have been."""
        self.models: dict[str, LoadedModel] = {}

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
        return self._child is not None

    @property
    def failed(self) -> bool:
        """Whether no process could be started when it was last tried."""
        return self._failed

    def start(self) -> None:
        """Start the process, load and warm up its models. Raises ModelUnavailable."""
        with self._changed:
            self._child = self._spawn()

    def revive(self) -> None:
        """Start a process if there is none; waits a moment instead if that has just failed."""
        with self._changed:
            if self._child is not None or self._closed:
                return
            if self._failed and not self._may_try():
                self._changed.wait(_REVIVE_PAUSE)
                return
            with contextlib.suppress(ModelUnavailable):
                self._respawn()

    def infer(
        self, slot: int, model: str, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> BatchOutput:
        """Run equally shaped items, each a tensor for every input of the model, as one batch.

        Raises HostLostError when the process died meanwhile (the next batch, or `revive`, starts another),
        ModelFailed when the model raised, ModelUnavailable when no process can be started.
        """
        child, number = self._next()
        try:
            return self._infer(child, number, slot, model, ids, items)
        finally:
            self._release(child)

    def close(self) -> None:
        """Stop the process; a second call does nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            if self._successor is not None:
                self._successor.end()
            if self._child is not None:
                self._child.end()
                _retire(self._child)
            self._child = None
            self._changed.notify_all()
            for lane in self._lanes:
                lane.close()

    def _infer(
        self,
        child: ModelChild,
        number: int,
        slot: int,
        model: str,
        ids: Sequence[int],
        items: Sequence[tuple[NDArray[Any], ...]],
    ) -> BatchOutput:
        lane = self._lanes[slot]
        places = write_batch(lane.inputs, number, ids, items)
        request = {
            "model": model,
            "number": number,
            "count": len(ids),
            "places": [asdict(place) for place in places],
            "arena": lane.inputs.size,
        }
        error: PaddlewheelError
        try:
            return self._open(lane, number, ids, self._ask(slot, child, request))
        except TimeoutError as err:
            error = ModelTimeout(f"The model {model} gave no answer in {self._config.batch_timeout:g} s.")
            raise self._lost(child, slot, error) from err
        except _RunawayError as err:
            error = ModelCrashed(f"The model {model} was stopped: {err}.")
            raise self._lost(child, slot, error) from err
        except (EOFError, OSError) as err:
            error = ModelCrashed(f"The process of model {model} died: {err}.")
            raise self._lost(child, slot, error) from err
        except (BrokenFrameError, KeyError, TypeError, ValueError) as err:
            # Nothing that follows on this link can be trusted.
            error = ModelCrashed(f"The process of model {model} answered nonsense: {err}.")
            raise self._lost(child, slot, error, guilty=True) from err

    def _next(self) -> tuple[ModelChild, int]:
        """The process to ask, and a number for the batch.

        The process is taken here, once: the other lane may replace it at any moment, and an answer that is
        awaited from the new process to a request that went to the old one never comes.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._paused)
            if self._child is not None and not self._recycling and self._outgrown(self._child):
                self._recycle(self._child)
            if self._child is None:
                self._respawn()
            if self._child is None:
                raise ModelUnavailable("The model process is not running; the worker's log says why.")
            self._number += 1
            self._child.users += 1
            return self._child, self._number

    def _release(self, child: ModelChild) -> None:
        """A process that has been replaced ends with the last batch that waits for it."""
        with self._changed:
            child.users -= 1
            if child is not self._child:
                _retire(child)
            self._changed.notify_all()

    def _ask(self, slot: int, child: ModelChild, request: dict[str, Any]) -> dict[str, Any]:
        link = child.links[slot]
        send_frame(link, request)
        began: float | None = None
        tick = LOOK_SECONDS if self._config.memory.ceiling else _TICK
        while not select.select([link], [], [], tick)[0]:
            # The other lane's batch is that lane's to judge; here the clock stands still meanwhile.
            if child.running[0] not in (0, slot + 1):
                began = None
                continue
            if began is None:
                began = time.monotonic()
            elif time.monotonic() - began > self._config.batch_timeout:
                raise TimeoutError
            self._stop_runaway(child)
        return receive_frame(link)

    def _stop_runaway(self, child: ModelChild) -> None:
        """Better this process than whichever the system would choose when its memory is used up."""
        if self._config.memory.ceiling:
            taken = child.resident_bytes()
            if self._config.memory.exceeded(taken, child.loaded_bytes):
                raise _RunawayError(f"it took {taken >> 20} MB")

    def _open(self, lane: _Lane, number: int, ids: Sequence[int], reply: dict[str, Any]) -> BatchOutput:
        if reply["number"] != number:
            raise BrokenFrameError(f"it answered batch {reply['number']} instead of {number}")
        if "error" in reply:
            raise error_from(reply["error"]["code"], reply["error"]["message"])
        lane.outputs.attach(reply["arena"])
        if read_ids(lane.outputs, number, len(ids)) != list(ids):
            raise BrokenFrameError("it answered other items than it was asked")
        outputs = tuple(
            lane.outputs.view(place["offset"], place["shape"], place["dtype"]) for place in reply["places"]
        )
        return BatchOutput(outputs=outputs, model_ms=reply["model_ms"])

    def _lost(
        self, child: ModelChild, slot: int, error: PaddlewheelError, *, guilty: bool = False
    ) -> HostLostError:
        """End the process, once for all slots that notice, and tell whether this slot's batch did it."""
        with self._changed:
            child.end()
            if child is self._child:
                self._child = None
                log.warning("%s", error.message)
            return HostLostError(error, guilty=guilty or child.culprit == slot)

    def _may_try(self) -> bool:
        return time.monotonic() - self._tried_at >= _RESPAWN_PAUSE

    def _respawn(self) -> None:
        """Start another process, unless that has just failed or one is being started anyway.

        What killed one process may kill the next while it loads, so this tries more than once.
        """
        self._changed.wait_for(lambda: self._successor is None)
        if self._child is not None or self._closed or (self._failed and not self._may_try()):
            return
        for left in reversed(range(_RESPAWNS)):
            try:
                self._child = self._spawn()
            except ModelUnavailable as err:
                if not left:
                    raise
                log.warning("%s Trying again.", err.message)
            else:
                return

    def _spawn(self) -> ModelChild:
        """A process that has loaded its models. Called with the lock held: nobody could do anything else."""
        self._tried_at = time.monotonic()
        self.generation += 1
        child = ModelChild(self._lanes, self._config.environment)
        try:
            self._greet(child)
        except BaseException:
            child.dispose()
            self._failed = True
            raise
        self._failed = False
        return child

    def _greet(self, child: ModelChild) -> None:
        models = [{**asdict(model), "path": str(model.path)} for model in self._config.models]
        ready = child.greet(
            models,
            ceiling=self._config.memory.ceiling,
            start_timeout=self._config.start_timeout,
            link_timeout=self._config.batch_timeout,
        )
        most = self._config.memory.maximum
        if most and child.loaded_bytes > most:
            child.end()
            raise ModelUnavailable(
                f"The models take {child.loaded_bytes >> 20} MB before the first batch, and may take "
                f"{most >> 20} MB: raise PADDLEWHEEL_MODEL_MEMORY_MAX or serve fewer models."
            )
        self.models = {name: LoadedModel(**each) for name, each in ready.items()}

    def _outgrown(self, child: ModelChild) -> bool:
        memory = self._config.memory
        return bool(memory.ceiling) and memory.outgrown(child.resident_bytes(), child.loaded_bytes)

    def _recycle(self, child: ModelChild) -> None:
        """Replace a process that takes too much memory, without losing a batch."""
        self._recycling = True
        taken = child.resident_bytes()
        log.warning("the model process takes %d MB: replacing it", taken >> 20)
        # Above its ceiling it would be killed in whichever batch comes next.
        overlap = self._config.overlap and not self._config.memory.exceeded(taken, child.loaded_bytes)
        if overlap and free_bytes() > _MARGIN * child.loaded_bytes:
            # Started by this thread, which stays; loaded by another one, so that this one can go on.
            self.generation += 1
            self._successor = ModelChild(self._lanes, self._config.environment)
            threading.Thread(
                target=self._succeed, args=(child, self._successor), name="recycle", daemon=True
            ).start()
            return
        self._paused = True
        self._changed.wait_for(lambda: not child.users or child is not self._child)
        began = time.monotonic()
        try:
            if child is self._child and not self._closed:
                child.dispose()
                self._child = None
                self._respawn()
                log.warning("the model process was replaced in a pause of %.1f s", time.monotonic() - began)
        finally:
            self._paused = self._recycling = False
            self._changed.notify_all()

    def _succeed(self, child: ModelChild, successor: ModelChild) -> None:
        began = time.monotonic()
        greeted = False
        try:
            self._greet(successor)
            greeted = True
        except ModelUnavailable as err:
            log.error("%s The old process goes on.", err.message)
        finally:
            with self._changed:
                self._successor = None
                self._recycling = False
                if not greeted or successor.culprit is not None or self._closed:
                    successor.dispose()
                else:
                    self._child = successor
                    self._failed = False
                    # The old one ends with its last batch, or has ended already.
                    _retire(child)
                    log.warning(
                        "the model process was replaced without a pause in %.1f s", time.monotonic() - began
                    )
                self._changed.notify_all()


def _retire(child: ModelChild) -> None:
    """Let go of a process that is no longer asked, unless a batch still waits for it."""
    if not child.users:
        child.dispose()
