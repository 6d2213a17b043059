"""Paddle Inference: oneDNN on a CPU, CUDA on a GPU. The only module that imports paddle."""

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api_client.errors import ModelFailed, ModelUnavailable
from workers.models.directory import ModelDirectory
from workers.models.session import SessionOptions

with warnings.catch_warnings():
    # paddle asks for a compiler cache that only its C++ extension builder would use.
    warnings.filterwarnings("ignore", message="No ccache found")
    from paddle import inference

logger = logging.getLogger(__name__)


class PaddleSession:
    """A Paddle Inference predictor of one input."""

    engine = "paddle"

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Raises ModelUnavailable when Paddle cannot load the directory."""
        self.device = options.device
        self._name = directory.name
        self._predictor = _create(directory, options)
        names = self._predictor.get_input_names()
        if len(names) != 1:
            raise ModelUnavailable(f"{directory.name} has inputs {', '.join(names)}: one is supported.")
        self._input = self._predictor.get_input_handle(names[0])
        self._outputs = [self._predictor.get_output_handle(n) for n in self._predictor.get_output_names()]

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs for one input [N, ...]. Raises ModelFailed when Paddle refuses it."""
        try:
            self._input.reshape(batch.shape)
            self._input.copy_from_cpu(np.ascontiguousarray(batch))
            self._predictor.run()
            return tuple(output.copy_to_cpu() for output in self._outputs)
        except (RuntimeError, ValueError, MemoryError) as err:
            raise ModelFailed(f"{self._name} failed on shape {batch.shape}: {_first(err)}") from err


def _create(directory: ModelDirectory, options: SessionOptions) -> Any:
    refusals = []
    for config, described in _configs(directory, options):
        try:
            predictor = inference.create_predictor(config)
        except (RuntimeError, ValueError, NotImplementedError) as err:
            refusals.append(f"{described}: {_first(err)}")
            continue
        if refusals:
            logger.warning("%s runs with %s; %s", directory.name, described, "; ".join(refusals))
        return predictor
    raise ModelUnavailable(f"paddle cannot load {directory.name}: {'; '.join(refusals)}")


def _configs(directory: ModelDirectory, options: SessionOptions) -> Iterator[tuple[Any, str]]:
    """The configurations to try, best first.

    Level 3 with oneDNN is what PaddleX runs. Some graphs fail in a fusion pass of level 2 and up when
    oneDNN is on (PaddlePaddle 3.3.1 on BlazeFace); they run at level 1, or without oneDNN.
    """
    if options.on_gpu:
        yield _gpu_config(directory, options), "level 3 on the GPU"
        return
    if options.enable_mkldnn:
        yield _cpu_config(directory, options, level=3, mkldnn=True), "oneDNN at level 3"
        yield _cpu_config(directory, options, level=1, mkldnn=True), "oneDNN at level 1"
    yield _cpu_config(directory, options, level=3, mkldnn=False), "level 3 without oneDNN"


def _cpu_config(directory: ModelDirectory, options: SessionOptions, *, level: int, mkldnn: bool) -> Any:
    config = _config(directory, level=level)
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(options.threads)
    if mkldnn:
        config.enable_mkldnn()
        # With the old executor a capacity below the number of widths made each new one 0.4 s slower.
        config.set_mkldnn_cache_capacity(options.mkldnn_cache_capacity)
    else:
        config.disable_mkldnn()
    return config


def _gpu_config(directory: ModelDirectory, options: SessionOptions) -> Any:
    config = _config(directory, level=3)
    half = options.precision == "fp16"
    precision = inference.PrecisionType.Half if half else inference.PrecisionType.Float32
    config.disable_mkldnn()
    # The tensors that cross the session stay float32 at fp16 too.
    config.exp_disable_mixed_precision_ops({"feed", "fetch"})
    config.enable_use_gpu(options.gpu_memory_mb, int(options.device.removeprefix("gpu:")), precision)
    return config


def _config(directory: ModelDirectory, *, level: int) -> Any:
    config = inference.Config(str(directory.graph), str(directory.params))
    # Without the new IR, memory optimisation of an inference.json ends in "Not find predictor_id 0".
    config.enable_new_ir(True)
    config.enable_new_executor(True)
    config.set_optimization_level(level)
    config.enable_memory_optim()
    config.disable_glog_info()
    return config


def _first(err: BaseException) -> str:
    """Paddle's errors are a C++ stack with the sentence at its end."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    summary = [line for line in lines if "Error:" in line]
    return (summary or lines or [type(err).__name__])[-1][:300]
