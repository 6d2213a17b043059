"""A network written as a Paddle program, in the form that Paddle and OpenVINO both read.

That is the old one (inference.pdmodel): OpenVINO 2026 reads no inference.json. Paddle builds it only where
FLAGS_enable_pir_api was 0 when it was imported.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.models.conversion.layers import NO_SIDES, Sides, Weights

with warnings.catch_warnings():
    # paddle asks for a compiler cache that only its C++ extension builder would use.
    warnings.filterwarnings("ignore", message="No ccache found")
    import paddle
    import paddle.nn.functional as F  # noqa: N812

_static: Any = paddle.static


class PaddleProgram:
    """The `Layers` of a Paddle program. One program is open at a time."""

    def __init__(self) -> None:
        paddle.enable_static()
        self._program, self._scope = _static.Program(), _static.Scope()
        self._inputs: list[Any] = []
        self._weights = 0
        self._guards = (
            _static.program_guard(self._program, _static.Program()),
            _static.scope_guard(self._scope),
            paddle.utils.unique_name.guard(),
        )

    def __enter__(self) -> "PaddleProgram":
        for guard in self._guards:
            guard.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for guard in reversed(self._guards):
            guard.__exit__(*error)

    def input(self, channels: int, height: int = -1, width: int = -1) -> Any:
        x = _static.data("x", [-1, channels, height, width], "float32")
        self._inputs.append(x)
        return x

    def convolution(
        self,
        x: Any,
        weight: Weights,
        bias: Weights,
        *,
        stride: int = 1,
        pad: Sides = NO_SIDES,
        groups: int = 1,
    ) -> Any:
        out = F.conv2d(x, self._weight(weight), stride=stride, padding=list(pad), groups=groups)
        return out + self._weight(bias.reshape(1, -1, 1, 1))

    def transposed_convolution(self, x: Any, weight: Weights, bias: Weights, *, stride: int) -> Any:
        out = F.conv2d_transpose(x, self._weight(weight), stride=stride)
        return out + self._weight(bias.reshape(1, -1, 1, 1))

    def relu(self, x: Any, ceiling: int | None = None) -> Any:
        return F.relu(x) if ceiling is None else F.relu6(x)

    def sigmoid(self, x: Any) -> Any:
        # Paddle 3.3.1's own function takes the new form only.
        out = x.block.create_var(
            name=paddle.utils.unique_name.generate("sigmoid"), dtype=x.dtype, shape=x.shape
        )
        x.block.append_op(type="sigmoid", inputs={"X": x}, outputs={"Out": out})
        return out

    def softmax(self, x: Any) -> Any:
        return F.softmax(x)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def max_pool(self, x: Any, *, size: int, stride: int) -> Any:
        return F.max_pool2d(x, size, stride)

    def zero_pad(self, x: Any, pad: Sides) -> Any:
        top, bottom, left, right = pad
        return F.pad(x, [left, right, top, bottom])

    def global_average(self, x: Any) -> Any:
        return paddle.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    def linear(self, x: Any, weight: Weights, bias: Weights | None = None) -> Any:
        return F.linear(x, self._weight(weight), None if bias is None else self._weight(bias))

    def serialize(self, outputs: Sequence[Any]) -> tuple[bytes, bytes]:
        """The bytes of inference.pdmodel and of inference.pdiparams: the same for the same network."""
        program = _static.normalize_program(self._program, self._inputs, list(outputs))
        program = program._remove_training_info(clip_extra=True)
        for op in program.global_block().ops:
            op._remove_attr("op_callstack")  # the paths of this machine
        executor = _static.Executor(paddle.CPUPlace())
        params = _static.serialize_persistables(self._inputs, list(outputs), executor)
        return program.desc.serialize_to_string(), params

    def _weight(self, values: NDArray[np.float32]) -> Any:
        name = f"weight_{self._weights:04}"
        self._weights += 1
        self._scope.var(name).get_tensor().set(np.ascontiguousarray(values), paddle.CPUPlace())
        return _static.create_parameter(list(values.shape), "float32", name=name)
