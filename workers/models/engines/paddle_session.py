"""Paddle Inference: oneDNN on a CPU, CUDA on a GPU.

The only module that runs Paddle; `workers.models.conversion.paddle_program` writes its programs.
"""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed, ModelUnavailable
from workers.models.engines.session import SessionOptions, require_inputs, shapes
from workers.models.home.directory import ModelDirectory, ModelFamily

with warnings.catch_warnings():
    # paddle asks for a compiler cache that only its C++ extension builder would use.
    warnings.filterwarnings("ignore", message="No ccache found")
    import paddle
    from paddle import inference

logger = logging.getLogger(__name__)

# The smallest and the largest batch that TensorRT is tuned to.
_TENSORRT_SHAPES: Mapping[ModelFamily, tuple[tuple[int, ...], ...]] = {
    "text_recognition": ((1, 3, 48, 320), (32, 3, 48, 1600)),
    "text_detection": ((1, 3, 32, 32), (1, 3, 1280, 1280)),
    "text_orientation": ((1, 3, 48, 192), (32, 3, 48, 192)),
}

# Paddle gives each kind of its C++ errors a type of Python's.
_REFUSALS = (RuntimeError, ValueError, MemoryError, IndexError, OSError, SystemError, TypeError)


class PaddleSession:
    """A Paddle Inference predictor.

    No one configuration runs every graph: some are refused when the predictor is created, others only at
    the first run. So the first run tries the configurations, best first, and keeps the one that works.
    """

    engine = "paddle"

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Raises ModelUnavailable when Paddle cannot load the directory."""
        if options.on_gpu:
            _require_gpu(options.device)
        self.device = options.device
        self._name = directory.name
        self._untried = _configs(directory, options)
        self._refusals: list[str] = []
        self._proven = False
        self._open_next()

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs. Raises ModelFailed when Paddle refuses the inputs."""
        require_inputs(self._name, inputs, self._names)
        while True:
            try:
                outputs = self._run(inputs)
            except _REFUSALS as err:
                if self._proven:
                    raise ModelFailed(f"{self._name} failed on {shapes(inputs)}: {_first(err)}") from err
                self._refuse(err)
                self._open_next()
                continue
            self._proven = True
            return outputs

    def _run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
        for handle, each in zip(self._inputs, inputs, strict=True):
            handle.reshape(each.shape)
            handle.copy_from_cpu(np.ascontiguousarray(each))
        self._predictor.run()
        return tuple(output.copy_to_cpu() for output in self._outputs)

    def _open_next(self) -> None:
        for tried, make_config in self._untried:
            self._tried = tried
            try:
                self._predictor = inference.create_predictor(make_config())
            except _REFUSALS as err:
                self._refuse(err)
                continue
            self._names = sorted(self._predictor.get_input_names())
            self._inputs = [self._predictor.get_input_handle(name) for name in self._names]
            self._outputs = [self._predictor.get_output_handle(n) for n in self._predictor.get_output_names()]
            return
        raise ModelUnavailable(f"paddle cannot run {self._name}: {'; '.join(self._refusals)}")

    def _refuse(self, err: Exception) -> None:
        self._refusals.append(f"{self._tried}: {_first(err)}")
        logger.info("%s does not run with %s", self._name, self._refusals[-1])


def _configs(directory: ModelDirectory, options: SessionOptions) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The configurations to try, best first.

    Level 3 with oneDNN is what PaddleX runs. With PaddlePaddle 3.3.1, PP-OCRv4_mobile_det fails there at
    its first run and takes the old IR (204 ms a page; 635 ms without oneDNN), and BlazeFace fails when
    it is created and takes level 1.
    """
    if options.on_gpu:
        if options.use_tensorrt:
            with tempfile.TemporaryDirectory(prefix="tensorrt-") as folder:
                yield "TensorRT", partial(_tensorrt_config, directory, options, Path(folder))
        yield "level 3 on the GPU", partial(_gpu_config, directory, options)
        return
    if options.enable_mkldnn:
        yield "oneDNN at level 3", partial(_cpu_config, directory, options)
        if directory.graph is not None and directory.graph.suffix == ".pdmodel":
            yield "oneDNN in the old IR", partial(_cpu_config, directory, options, new_ir=False)
        yield "oneDNN at level 1", partial(_cpu_config, directory, options, level=1)
    yield "level 3 without oneDNN", partial(_cpu_config, directory, options, mkldnn=False)


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


def _require_gpu(device: str) -> None:
    """Without this, a build of Paddle for CPUs runs on the CPU and says so only on standard error."""
    if not paddle.device.is_compiled_with_cuda():
        raise ModelUnavailable(f"{device} needs paddlepaddle-gpu; this is paddlepaddle for CPUs.")
    count = paddle.device.cuda.device_count()
    if _index(device) >= count:
        raise ModelUnavailable(f"There is no {device}: this machine has {count} GPUs.")


def _index(device: str) -> int:
    return int(device.removeprefix("gpu:"))


def _precision(options: SessionOptions) -> Any:
    return inference.PrecisionType.Half if options.precision == "fp16" else inference.PrecisionType.Float32


def _gpu_config(directory: ModelDirectory, options: SessionOptions, *, new_ir: bool = True) -> Any:
    config = _config(directory, level=3, new_ir=new_ir)
    config.disable_mkldnn()
    # The tensors that cross the session stay float32 at fp16 too.
    config.exp_disable_mixed_precision_ops({"feed", "fetch"})
    config.enable_use_gpu(options.gpu_memory_mb, _index(options.device), _precision(options))
    return config


def _tensorrt_config(directory: ModelDirectory, options: SessionOptions, folder: Path) -> Any:
    """Subgraphs in TensorRT, tuned to the family's shapes and rebuilt when others come.

    Not run yet: no machine with TensorRT was at hand.
    """
    if directory.graph is None or directory.graph.suffix != ".pdmodel":
        raise ModelUnavailable(f"{directory.name}: use_tensorrt needs an inference.pdmodel, turn it off.")
    if directory.family not in _TENSORRT_SHAPES:
        raise ModelUnavailable(f"{directory.name}: use_tensorrt is for text models only, turn it off.")
    shapes = str(folder / "shapes.pbtxt")
    collecting = _gpu_config(directory, options, new_ir=False)
    collecting.collect_shape_range_info(shapes)
    predictor = inference.create_predictor(collecting)
    for shape in _TENSORRT_SHAPES[directory.family]:
        handle = predictor.get_input_handle(predictor.get_input_names()[0])
        handle.reshape(shape)
        handle.copy_from_cpu(np.zeros(shape, dtype=np.float32))
        predictor.run()
    del predictor  # it writes the file when it goes
    config = _gpu_config(directory, options, new_ir=False)
    config.enable_tensorrt_engine(
        workspace_size=1 << 30,
        max_batch_size=max(shape[0] for shape in _TENSORRT_SHAPES[directory.family]),
        min_subgraph_size=3,
        precision_mode=_precision(options),
        use_static=False,
        use_calib_mode=False,
    )
    config.enable_tuned_tensorrt_dynamic_shape(shapes, True)
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
