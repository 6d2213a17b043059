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

_REFUSALS = (RuntimeError, ValueError, MemoryError)


class PaddleSession:
    """A Paddle Inference predictor of one input.

    No one configuration runs every graph: some are refused when the predictor is created, others only at
    the first run. So the first run tries the configurations, best first, and keeps the one that works.
    """

    engine = "paddle"

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Raises ModelUnavailable when Paddle cannot load the directory."""
        self.device = options.device
        self._name = directory.name
        self._untried = _configs(directory, options)
        self._refusals: list[str] = []
        self._proven = False
        self._open_next()

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs for one input [N, ...]. Raises ModelFailed when Paddle refuses it."""
        while True:
            try:
                outputs = self._run(np.ascontiguousarray(batch))
            except _REFUSALS as err:
                if self._proven:
                    raise ModelFailed(f"{self._name} failed on shape {batch.shape}: {_first(err)}") from err
                self._refuse(err)
                self._open_next()
                continue
            self._proven = True
            return outputs

    def _run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._input.reshape(batch.shape)
        self._input.copy_from_cpu(batch)
        self._predictor.run()
        return tuple(output.copy_to_cpu() for output in self._outputs)

    def _open_next(self) -> None:
        for tried, config in self._untried:
            self._tried = tried
            try:
                self._predictor = inference.create_predictor(config)
            except _REFUSALS as err:
                self._refuse(err)
                continue
            names = self._predictor.get_input_names()
            if len(names) != 1:
                raise ModelUnavailable(f"{self._name} has inputs {', '.join(names)}: one is supported.")
            self._input = self._predictor.get_input_handle(names[0])
            self._outputs = [self._predictor.get_output_handle(n) for n in self._predictor.get_output_names()]
            return
        raise ModelUnavailable(f"paddle cannot run {self._name}: {'; '.join(self._refusals)}")

    def _refuse(self, err: Exception) -> None:
        self._refusals.append(f"{self._tried}: {_first(err)}")
        logger.info("%s does not run with %s", self._name, self._refusals[-1])


def _configs(directory: ModelDirectory, options: SessionOptions) -> Iterator[tuple[str, Any]]:
    """The configurations to try, best first.

    Level 3 with oneDNN is what PaddleX runs. With PaddlePaddle 3.3.1, PP-OCRv4_mobile_det fails there at
    its first run and takes the old IR (204 ms a page; 635 ms without oneDNN), and BlazeFace fails when
    it is created and takes level 1.
    """
    if options.on_gpu:
        yield "level 3 on the GPU", _gpu_config(directory, options)
        return
    if options.enable_mkldnn:
        yield "oneDNN at level 3", _cpu_config(directory, options)
        if directory.graph is not None and directory.graph.suffix == ".pdmodel":
            yield "oneDNN in the old IR", _cpu_config(directory, options, new_ir=False)
        yield "oneDNN at level 1", _cpu_config(directory, options, level=1)
    yield "level 3 without oneDNN", _cpu_config(directory, options, mkldnn=False)


def _cpu_config(
    directory: ModelDirectory,
    options: SessionOptions,
    *,
    level: int = 3,
    new_ir: bool = True,
    mkldnn: bool = True,
) -> Any:
    config = _config(directory, level=level, new_ir=new_ir)
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(options.threads)
    if mkldnn:
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(options.mkldnn_cache_capacity)
    else:
        config.disable_mkldnn()
    return config


def _gpu_config(directory: ModelDirectory, options: SessionOptions) -> Any:
    config = _config(directory, level=3, new_ir=True)
    half = options.precision == "fp16"
    precision = inference.PrecisionType.Half if half else inference.PrecisionType.Float32
    config.disable_mkldnn()
    # The tensors that cross the session stay float32 at fp16 too.
    config.exp_disable_mixed_precision_ops({"feed", "fetch"})
    config.enable_use_gpu(options.gpu_memory_mb, int(options.device.removeprefix("gpu:")), precision)
    return config


def _config(directory: ModelDirectory, *, level: int, new_ir: bool) -> Any:
    config = inference.Config(str(directory.graph), str(directory.params))
    # Without the new IR, memory optimisation of an inference.json ends in "Not find predictor_id 0".
    config.enable_new_ir(new_ir)
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
