"""One model process for one device, seen from the worker: start it, run batches, replace it when it dies."""

import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api_client.errors import ModelCrashed, ModelTimeout, ModelUnavailable, PaddlewheelError, error_from
from workers.arena import Arena
from workers.batch_layout import read_ids, write_batch
from workers.frames import BrokenFrameError, receive_frame, send_frame
from workers.models.session import ItemShapes, SessionOptions

SLOTS: Final = 2
"""Batches in a process at a time: one runs while the next one is already laid out in memory."""

OPEN_NETWORK: Final = "workers.model_process:open_network"
"""What a model process calls with a model's directory and options; fault tests name another function."""

_TICK: Final = 0.2
_RESPAWN_PAUSE: Final = 5.0
_RESPAWNS: Final = 3
_ROOT: Final = Path(__file__).parents[1]
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
    """`start_timeout` covers loading and warm-up, `batch_timeout` one batch from its start; in seconds."""

    models: tuple[HostedModel, ...]
    start_timeout: float = 180.0
    batch_timeout: float = 60.0
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


class _Lane:
    """This side of a slot."""

    def __init__(self) -> None:
        self.inputs = Arena()
        self.outputs = Arena()
        self.link: socket.socket | None = None

    def close(self) -> None:
        if self.link is not None:
            self.link.close()
        self.inputs.close()
        self.outputs.close()


class ModelHost:
    """Each slot is used by one thread at a time; different slots may be used at once."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._control = Arena()
        self._running: NDArray[np.uint8] = self._control.view(0, (1,), np.uint8)
        self._lanes = [_Lane() for _ in range(SLOTS)]
        self._generation = 0
        self._culprits: dict[int, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._number = 0
        self._spawned_at = 0.0
        self._closed = False
        self.models: dict[str, LoadedModel] = {}

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid if self._process else None

    @property
    def available(self) -> bool:
        """Whether there is a process, or one is being started in place of another."""
        return self._process is not None

    @property
    def generation(self) -> int:
        """How many processes there have been."""
        return self._generation

    def start(self) -> None:
        """Start the process, load and warm up its models. Raises ModelUnavailable."""
        with self._lock:
            self._spawn()

    def infer(
        self, slot: int, model: str, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> BatchOutput:
        """Run equally shaped items, each a tensor for every input of the model, as one batch.

        Raises HostLostError when the process died meanwhile (another is ready by then), ModelFailed when
        the model raised, ModelUnavailable when no process can be started.
        """
        lane = self._lanes[slot]
        generation, number, link = self._next(lane)
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
            reply = self._ask(slot, link, request)
        except TimeoutError as err:
            error = ModelTimeout(f"The model {model} gave no answer in {self._config.batch_timeout:g} s.")
            raise self._lost(generation, slot, error) from err
        except (EOFError, OSError, ValueError, BrokenFrameError) as err:
            error = ModelCrashed(f"The process of model {model} died: {err}.")
            raise self._lost(generation, slot, error) from err
        return self._open(lane, number, ids, reply)

    def close(self) -> None:
        """Stop the process; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._kill()
            for lane in self._lanes:
                lane.close()
            self._running = np.zeros(1, np.uint8)
            self._control.close()

    def _next(self, lane: _Lane) -> tuple[int, int, socket.socket]:
        """The process to ask: its generation, a number for the batch, and the lane's link to it.

        The link is taken here, once: the other lane may replace the process and its links at any moment, and
        an answer that is awaited on the new link to a request that went down the old one never comes.
        """
        with self._lock:
            if self._process is None:
                self._try_again()
            if lane.link is None:
                raise ModelUnavailable("The model process is not running; the worker's log says why.")
            self._number += 1
            return self._generation, self._number, lane.link

    def _ask(self, slot: int, link: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        send_frame(link, request)
        began: float | None = None
        while not select.select([link], [], [], _TICK)[0]:
            # The clock stands still while the process works for the other lane.
            if self._running[0] not in (0, slot + 1):
                began = None
            elif began is None:
                began = time.monotonic()
            elif time.monotonic() - began > self._config.batch_timeout:
                raise TimeoutError
        return receive_frame(link)

    def _open(self, lane: _Lane, number: int, ids: Sequence[int], reply: dict[str, Any]) -> BatchOutput:
        if "error" in reply:
            raise error_from(reply["error"]["code"], reply["error"]["message"])
        lane.outputs.attach(reply["arena"])
        if reply["number"] != number or read_ids(lane.outputs, number, len(ids)) != list(ids):
            raise ModelCrashed("The model process answered another batch than it was asked.")
        outputs = tuple(
            lane.outputs.view(place["offset"], place["shape"], place["dtype"]) for place in reply["places"]
        )
        return BatchOutput(outputs=outputs, model_ms=reply["model_ms"])

    def _lost(self, generation: int, slot: int, error: PaddlewheelError) -> HostLostError:
        """Replace the process, once for all slots that notice, and tell whether this slot's batch did it."""
        with self._lock:
            if generation == self._generation and not self._closed:
                self._culprits[generation] = int(self._running[0]) - 1
                log.warning("%s Starting another one.", error.message)
                self._respawn()
            return HostLostError(error, guilty=self._culprits.get(generation) == slot)

    def _try_again(self) -> None:
        if self._closed or time.monotonic() - self._spawned_at < _RESPAWN_PAUSE:
            raise ModelUnavailable("The model process is not running; the worker's log says why.")
        self._spawn()

    def _respawn(self) -> None:
        """What killed one process may kill the next while it loads, so this tries more than once."""
        for left in reversed(range(_RESPAWNS)):
            self._kill()
            try:
                self._spawn()
            except ModelUnavailable as err:
                if not left:
                    raise
                log.warning("%s Trying again.", err.message)
            else:
                return

    def _spawn(self) -> None:
        self._spawned_at = time.monotonic()
        self._generation += 1
        self._running[0] = 0
        theirs: list[socket.socket] = []
        words = []
        for lane in self._lanes:
            lane.link, end = socket.socketpair()
            theirs.append(end)
            words += ["--slot", f"{end.fileno()},{lane.inputs.fd},{lane.outputs.fd}"]
        hold, self._lifeline = os.pipe()
        fds = [end.fileno() for end in theirs] + [hold, self._control.fd]
        fds += [fd for lane in self._lanes for fd in (lane.inputs.fd, lane.outputs.fd)]
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "workers.model_process"),
                    *("--control", str(self._control.fd), "--lifeline", str(hold)),
                    *words,
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                cwd=_ROOT,
                env={**os.environ, **self._config.environment},
            )
        finally:
            os.close(hold)
            for end in theirs:
                end.close()
        self._greet()

    def _greet(self) -> None:
        link = self._lanes[0].link
        if link is None:
            raise ModelUnavailable("The model process is not running.")
        link.settimeout(self._config.start_timeout)
        models = [{**asdict(model), "path": str(model.path)} for model in self._config.models]
        try:
            send_frame(link, {"models": models, "log_level": logging.getLevelName(log.getEffectiveLevel())})
            reply = receive_frame(link)
        except TimeoutError as err:
            self._kill()
            raise ModelUnavailable(
                f"The models were not loaded within {self._config.start_timeout:g} s."
            ) from err
        except (EOFError, OSError, BrokenFrameError) as err:
            self._kill()
            raise ModelUnavailable(f"The model process died while it loaded its models: {err}.") from err
        if "error" in reply:
            self._kill()
            raise ModelUnavailable(reply["error"])
        self.models = {name: LoadedModel(**each) for name, each in reply["ready"].items()}

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        for lane in self._lanes:
            if lane.link is not None:
                lane.link.close()
                lane.link = None
