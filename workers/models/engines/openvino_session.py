"""OpenVINO on a CPU. The only module that imports openvino.

Where all items have one shape, a batch with one for every thread is run in parts, one to a thread: threads
that share a batch wait for each other at every layer, even more while the worker decodes images. In CPU
time an item, in batches of eight through a worker of two threads: EfficientNet-Lite0 9.3 to 10.2 ms whole (on
a busy machine), 8.4 to 8.8 in parts. Lines and pages have many shapes, and every part would keep its own
kernels of each: 676 MB for 60 widths instead of 359 MB.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed, ModelUnavailable
from workers.models.engines.session import SessionOptions, require_inputs, shapes
from workers.models.home.directory import ModelDirectory


class OpenVinoSession:
    """An OpenVINO compiled model; reads inference.onnx or inference.pdmodel."""

    engine = "openvino"
    device = "cpu"

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Raises ModelUnavailable when OpenVINO cannot load the directory."""
        self._name = directory.name
        try:
            core = openvino.Core()
            model = core.read_model(directory.onnx or directory.graph)
            compiled = core.compile_model(model, "CPU", _properties(options, streams=1))
            self._names = sorted(each.any_name for each in compiled.inputs)
            self._outputs = range(len(compiled.outputs))
            self._request = compiled.create_infer_request()
            self._parts: list[Any] = []
            # One input, one item a row: a detector's boxes are of all its pictures together.
            if options.threads > 1 and len(model.inputs) == 1 and _is_of_one_shape(model.input()):
                in_parts = core.compile_model(model, "CPU", _properties(options, streams=options.threads))
                self._parts = [in_parts.create_infer_request() for _ in range(options.threads)]
        except RuntimeError as err:
            raise ModelUnavailable(f"openvino cannot load {directory.name}: {_first(err)}") from err

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs. Raises ModelFailed when OpenVINO refuses the inputs.

        The outputs are views of the engine's memory: they hold until the next call.
        """
        require_inputs(self._name, inputs, self._names)
        arrays = [np.ascontiguousarray(each) for each in inputs]
        try:
            if self._parts and min(map(len, arrays)) >= len(self._parts):
                return self._run_in_parts(arrays)
            self._give(self._request, arrays)
            self._request.infer()
        except (RuntimeError, ValueError) as err:
            raise ModelFailed(f"{self._name} failed on {shapes(inputs)}: {_first(err)}") from err
        return self._collect(self._request)

    def _run_in_parts(self, arrays: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        parts = zip(*(np.array_split(array, len(self._parts)) for array in arrays), strict=True)
        # Whatever fails, no part is left running: it would read memory that holds another batch by then.
        with ExitStack() as running:
            for request, part in zip(self._parts, parts, strict=True):
                self._give(request, part)
                request.start_async()
                running.callback(request.wait)
        return tuple(map(np.concatenate, zip(*map(self._collect, self._parts), strict=True)))

    def _give(self, request: Any, arrays: Sequence[NDArray[Any]]) -> None:
        for name, array in zip(self._names, arrays, strict=True):
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def _collect(self, request: Any) -> tuple[NDArray[Any], ...]:
        return tuple(request.get_output_tensor(i).data for i in self._outputs)


def _is_of_one_shape(taken: Any) -> bool:
    """Whether an input is [N, ...] with nothing else left open."""
    return all(side.is_static for side in list(taken.partial_shape)[1:])


def _properties(options: SessionOptions, *, streams: int) -> dict[str, Any]:
    return {
        # The default on a CPU with bfloat16 is bfloat16, which changes answers in the second digit.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": streams,
        # Pinned, every process counts its cores from the first one: two slots of one thread shared a core,
        # at 56 lines a second instead of 103.
        "ENABLE_CPU_PINNING": False,
        # Kernels are kept for each shape. 300 lines of different widths: 530 MB with 2000 of them, 1 GB
        # with the default 5000, at 52 and 50 ms of CPU a line.
        "CPU_RUNTIME_CACHE_CAPACITY": 2000,
    }


def _first(err: BaseException) -> str:
    """OpenVINO's errors name its source files first and the reason last."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return (lines or [type(err).__name__])[-1][:300]
