"""Engines behind one protocol: a session runs one network on one device.

Each engine's library is imported by one module, and only when a session of it is opened.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError, ModelFailed

EngineName = Literal["openvino", "onnxruntime", "paddle"]

ItemShapes = tuple[tuple[int, ...], ...]
"""The shapes of one item's tensors, without N: one for each input of its network."""

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""Every engine, in the order in which `auto` prefers them when they are equally fast or were not measured.

Milliseconds an item on one thread of a two-core AMD EPYC, best of 24 (openvino, onnxruntime, paddle):
PP-OCRv4_mobile_rec 14.9, -, 24.0 and in batches of eight 14.6, -, 18.4; PP-OCRv4_mobile_det 125, -, 135;
ch_ppocr_mobile_v2.0_cls 0.7, -, 2.6; PP-OCRv6_small_rec 22.3, 23.0, -; PP-OCRv6_small_det 189, 186, -.
"""

_DEVICE = re.compile(r"cpu|gpu:\d{1,2}")


class Session(Protocol):
    """One network, loaded. Not safe to call from two threads at once."""

    @property
    def engine(self) -> str:
        """The engine's name, as in `SessionOptions.engine`."""

    @property
    def device(self) -> str:
        """The device it runs on: `cpu` or `gpu:N`."""

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The network's outputs. Raises ModelFailed when the engine refuses the inputs.

        `inputs` are arrays [N, ...] in the order of the network's input names, sorted, as PaddleX binds them.
        """


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How to run a network. Raises ConfigurationError when the options contradict each other.

    `threads` are the CPU threads of one run. `mkldnn_cache_capacity` is the number of input shapes whose
    oneDNN kernels Paddle keeps (0: no limit, at about 10 MB for each width of wide lines: 300 of them took
    2.4 GB, with a limit of 10 they took 0.7 GB and a third more time). `gpu_memory_mb` is Paddle's first
    allocation on a GPU; the pool grows past it.
    """

    engine: Literal["auto", "openvino", "onnxruntime", "paddle"] = "auto"
    device: str = "cpu"
    threads: int = 1
    precision: Literal["fp32", "fp16"] = "fp32"
    enable_mkldnn: bool = True
    mkldnn_cache_capacity: int = 32
    use_tensorrt: bool = False
    gpu_memory_mb: int = 500

    def __post_init__(self) -> None:
        if self.engine not in ("auto", *ENGINES):
            raise ConfigurationError(f"engine {self.engine!r} is not one of auto, {', '.join(ENGINES)}.")
        if not _DEVICE.fullmatch(self.device):
            raise ConfigurationError(f"device {self.device!r} is neither cpu nor gpu:N.")
        if self.precision not in ("fp32", "fp16"):
            raise ConfigurationError(f"precision {self.precision!r} is neither fp32 nor fp16.")
        if self.threads < 1:
            raise ConfigurationError(f"threads is {self.threads}: a session needs at least one.")
        if self.mkldnn_cache_capacity < 0:
            raise ConfigurationError("mkldnn_cache_capacity is negative: use 0 for no limit.")
        if self.on_gpu:
            self._check_gpu()
        else:
            self._check_cpu()

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    def _check_gpu(self) -> None:
        if self.engine not in ("auto", "paddle"):
            raise ConfigurationError(f"{self.engine} runs on the cpu only: use paddle on {self.device}.")
        if self.gpu_memory_mb < 1:
            raise ConfigurationError("gpu_memory_mb has to be at least 1.")

    def _check_cpu(self) -> None:
        if self.use_tensorrt:
            raise ConfigurationError("use_tensorrt needs a GPU: set device to gpu:0, or turn it off.")
        if self.precision == "fp16":
            raise ConfigurationError("fp16 needs a GPU: set device to gpu:0, or precision to fp32.")


def shapes(arrays: Iterable[NDArray[Any]]) -> str:
    """The shapes of arrays as errors show them."""
    return "shape " + ", ".join(str(array.shape) for array in arrays)


def require_inputs(name: str, inputs: Sequence[NDArray[Any]], expected: Sequence[str]) -> None:
    """Raises ModelFailed unless there is an array for every input."""
    if len(inputs) != len(expected):
        raise ModelFailed(f"{name} takes {', '.join(expected)}: {len(inputs)} inputs were given.")
