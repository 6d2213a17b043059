"""OpenVINO on a CPU. The only module that imports openvino."""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from api_client.errors import ModelFailed, ModelUnavailable
from workers.models.directory import ModelDirectory
from workers.models.session import SessionOptions, require_inputs, shapes


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
            compiled = core.compile_model(model, "CPU", _properties(options))
        except RuntimeError as err:
            raise ModelUnavailable(f"openvino cannot load {directory.name}: {_first(err)}") from err
        self._names = sorted(each.any_name for each in compiled.inputs)
        self._request = compiled.create_infer_request()
        self._outputs = range(len(compiled.outputs))

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs. Raises ModelFailed when OpenVINO refuses the inputs.

        The outputs are views of the engine's memory: they hold until the next call.
        """
        require_inputs(self._name, inputs, self._names)
        try:
            for name, each in zip(self._names, inputs, strict=True):
                tensor = openvino.Tensor(np.ascontiguousarray(each), shared_memory=True)
                self._request.set_tensor(name, tensor)
            self._request.infer()
        except RuntimeError as err:
            raise ModelFailed(f"{self._name} failed on {shapes(inputs)}: {_first(err)}") from err
        return tuple(self._request.get_output_tensor(i).data for i in self._outputs)


def _properties(options: SessionOptions) -> dict[str, Any]:
    return {
        # The default on a CPU with bfloat16 is bfloat16, which changes answers in the second digit.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
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
