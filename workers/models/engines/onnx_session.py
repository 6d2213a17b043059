"""ONNX Runtime on a CPU. The only module that imports onnxruntime."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from paddlewheel.errors import ModelFailed, ModelUnavailable
from workers.models.engines.session import SessionOptions, require_inputs, shapes
from workers.models.home.directory import ModelDirectory

# The bindings have no common base for their errors.
_REFUSALS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
)


class OnnxSession:
    """An ONNX Runtime session; reads inference.onnx."""

    engine = "onnxruntime"
    device = "cpu"

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Raises ModelUnavailable when ONNX Runtime cannot load the directory."""
        self._name = directory.name
        try:
            self._session = onnxruntime.InferenceSession(
                str(directory.onnx), _options(options), providers=["CPUExecutionProvider"]
            )
        except _REFUSALS as err:
            raise ModelUnavailable(f"onnxruntime cannot load {directory.name}: {str(err)[:300]}") from err
        self._names = sorted(each.name for each in self._session.get_inputs())

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs. Raises ModelFailed when ONNX Runtime refuses the inputs."""
        require_inputs(self._name, inputs, self._names)
        feed = {name: np.ascontiguousarray(each) for name, each in zip(self._names, inputs, strict=True)}
        try:
            return tuple(self._session.run(None, feed))
        except _REFUSALS as err:
            raise ModelFailed(f"{self._name} failed on {shapes(inputs)}: {str(err)[:300]}") from err


def _options(options: SessionOptions) -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    return settings
