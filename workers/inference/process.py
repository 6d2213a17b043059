"""The model process: loads the networks, then answers batches until the worker closes its sockets.

Run by `workers.inference.host` as a child of its own, never forked, so that CUDA, FAISS and thread pools
start clean, and so that a native crash or a hang costs this process and not the worker.
"""

import argparse
import contextlib
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed, PaddlewheelError
from workers.inference.layout import read_ids, write_outputs
from workers.inference.memory import limit_own_memory
from workers.models.engines.session import ItemShapes, SessionOptions
from workers.models.families.network import Network
from workers.models.home.directory import ModelDirectory
from workers.processes.arena import Arena
from workers.processes.frames import receive_frame, send_frame
from workers.processes.parent_death import die_with_the_parent

OOM_SCORE: Final = "500"
log = logging.getLogger(__name__)


class LoadedNetworks(Protocol):
    """What a loader returns."""

    engine: str
    device: str

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer one batch, an array (N, ...) for each input."""

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        """Run once for each item's shapes."""


class ServedLane:
    """The process's side of a lane: its socket and its two blocks of memory."""

    def __init__(self, index: int, link: int, inputs: int, outputs: int) -> None:
        self.index = index
        self.link = socket.socket(fileno=link)
        self.inputs = Arena(inputs)
        self.outputs = Arena(outputs)


def open_network(path: Path, options: SessionOptions) -> LoadedNetworks:
    """Load the directory's network: the loader of every real model."""
    return Network(ModelDirectory.open(path), options)  # type: ignore[return-value]


def load(models: Iterable[dict[str, Any]]) -> dict[str, LoadedNetworks]:
    """Load and warm up every model, in the order given."""
    networks = {}
    for model in models:
        module, _, function = model["loader"].partition(":")
        loader: Callable[[Path, SessionOptions], LoadedNetworks] = getattr(
            importlib.import_module(module), function
        )
        networks[model["name"]] = network = loader(Path(model["path"]), SessionOptions(**model["options"]))
        network.warm_up(tuple(tuple(shape) for shape in item) for item in model["warm_up"])
    return networks


def answer(network: LoadedNetworks, lane: ServedLane, request: dict[str, Any]) -> dict[str, Any]:
    """Run the batch in the lane's memory and write its outputs there."""
    lane.inputs.attach(request["arena"])
    number = request["number"]
    ids = read_ids(lane.inputs, number, request["count"])
    if ids is None:
        raise ModelFailed("The shared memory holds another batch than the one announced.")
    inputs = [
        lane.inputs.view(place["offset"], place["shape"], place["dtype"]) for place in request["places"]
    ]
    began = time.perf_counter()
    outputs = network.forward(*inputs)
    model_ms = (time.perf_counter() - began) * 1000
    places = write_outputs(lane.outputs, number, ids, outputs)
    return {
        "number": number,
        "places": [asdict(each) for each in places],
        "arena": lane.outputs.size,
        "model_ms": model_ms,
    }


def serve(networks: dict[str, LoadedNetworks], lanes: list[ServedLane], running: NDArray[np.uint8]) -> None:
    """Answer batches in the order in which the lanes send them; return when the worker closes a socket."""
    with selectors.DefaultSelector() as waiting:
        for lane in lanes:
            waiting.register(lane.link, selectors.EVENT_READ, lane)
        while True:
            for key, _ in waiting.select():
                lane = key.data
                try:
                    request = receive_frame(lane.link)
                except (EOFError, ConnectionError):
                    return
                # The worker reads this byte when the process has died: it names the batch that did it.
                running[0] = lane.index + 1
                try:
                    reply = answer(networks[request["model"]], lane, request)
                except Exception as err:
                    reply = _failure(err, request)
                running[0] = 0
                send_frame(lane.link, reply)


def _failure(err: Exception, request: dict[str, Any]) -> dict[str, Any]:
    if isinstance(err, PaddlewheelError):
        code, message = err.code, err.message
    else:
        log.exception("model %s raised an error on a batch", request.get("model"))
        code, message = ModelFailed.code, f"The model {request.get('model')} raised {type(err).__name__}."
    return {"number": request["number"], "error": {"code": code, "message": message}}


def _prefer_oom_kill() -> None:
    """When memory runs out, the system kills this process rather than the worker or a neighbour."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _exit_with_pipe(lifeline: int) -> None:
    """Exit when the worker's end of the pipe closes: for systems without a death signal."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(0)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main() -> int:
    """Load the models, report that they are ready, serve."""
    parser = argparse.ArgumentParser(prog="python -m workers.inference.process", description=__doc__)
    parser.add_argument("--control", type=int, required=True, help="descriptor of the control memory")
    parser.add_argument("--lifeline", type=int, required=True, help="descriptor that closes with the worker")
    parser.add_argument("--lane", action="append", required=True, help="link,inputs,outputs descriptors")
    arguments = parser.parse_args()
    # The worker decides when to stop: a Ctrl-C or a SIGTERM for the whole group must not cut a batch short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A worker that is killed with -9 must not leave a model process behind, not even a hanging one.
    die_with_the_parent()
    _prefer_oom_kill()
    _exit_with_pipe(arguments.lifeline)
    lanes = [ServedLane(i, *(int(fd) for fd in each.split(","))) for i, each in enumerate(arguments.lane)]
    running: NDArray[np.uint8] = Arena(arguments.control).view(0, (1,), np.uint8)
    first = lanes[0].link
    config = receive_frame(first)
    logging.basicConfig(level=config["log_level"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        networks = load(config["models"])
    except PaddlewheelError as err:
        send_frame(first, {"error": err.message})
        return 1
    except Exception as err:
        log.exception("the models could not be loaded")
        send_frame(first, {"error": f"The models could not be loaded: {type(err).__name__}: {err}."})
        return 1
    limit_own_memory(config["ceiling"])
    report = {name: {"engine": each.engine, "device": each.device} for name, each in networks.items()}
    send_frame(first, {"ready": report})
    serve(networks, lanes, running)
    return 0


if __name__ == "__main__":
    sys.exit(main())
