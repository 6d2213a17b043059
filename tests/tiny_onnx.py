"""Small ONNX files, written without the onnx package (onnx.proto: ModelProto).

An embedder that answers with the mean of each of 4 by 4 parts of a picture, and a detector that marks the
bright cells of 8 by 8 pixels, in pixels of the picture: their answers can be computed by hand.
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.models.protobuf import field

_FLOAT, _INT32, _INT64 = 1, 6, 7
_AS_INT, _AS_INTS = 2, 7
_OPSET = 13
BRIGHT = 0.5
"""A cell of the detector is bright when the mean of its tensor is above this."""

Attributes = Mapping[str, int | Sequence[int]]
Array = NDArray[np.float32] | NDArray[np.int64]


def embedder() -> bytes:
    """x [N, 3, 48, 56] to features [N, 48]."""
    nodes = [
        _node("AveragePool", ["x"], ["pooled"], {"kernel_shape": [12, 14], "strides": [12, 14]}),
        _node("Flatten", ["pooled"], ["features"], {"axis": 1}),
    ]
    return _model(nodes, {}, {"x": ["N", 3, 48, 56]}, {"features": (_FLOAT, ["N", 48])})


def detector() -> bytes:
    """im_shape [N, 2], image [N, 3, H, W] and scale_factor [N, 2] to boxes [M, 6] and their counts [N]."""
    nodes = [
        _node("AveragePool", ["image"], ["cells"], {"kernel_shape": [8, 8], "strides": [8, 8]}),
        _node("ReduceMean", ["cells"], ["means"], {"axes": [1], "keepdims": 0}),
        _node("Greater", ["means", "bright"], ["marked"]),
        _node("Cast", ["marked"], ["ones"], {"to": _INT32}),
        _node("ReduceSum", ["ones", "sides"], ["counts"], {"keepdims": 0}),
        _node("NonZero", ["marked"], ["columns"]),
        _node("Transpose", ["columns"], ["places"], {"perm": [1, 0]}),
        _node("GatherND", ["means", "places"], ["flat"]),
        _node("Unsqueeze", ["flat", "one"], ["scores"]),
        _node("Gather", ["places", "zero"], ["items"], {"axis": 1}),
        _node("Gather", ["places", "y_and_x"], ["corner"], {"axis": 1}),
        _node("Cast", ["corner"], ["corner_float"], {"to": _FLOAT}),
        _node("Mul", ["corner_float", "eight"], ["top_left"]),
        _node("Add", ["top_left", "eight"], ["beyond"]),
        _node("Gather", ["scale_factor", "items"], ["scale"], {"axis": 0}),
        _node("Gather", ["im_shape", "items"], ["limit"], {"axis": 0}),
        _node("Min", ["beyond", "limit"], ["bottom_right"]),
        _node("Div", ["top_left", "scale"], ["from"]),
        _node("Div", ["bottom_right", "scale"], ["till"]),
        _node("Gather", ["from", "x_and_y"], ["from_xy"], {"axis": 1}),
        _node("Gather", ["till", "x_and_y"], ["till_xy"], {"axis": 1}),
        _node("Sub", ["scores", "scores"], ["class"]),
        _node("Concat", ["class", "scores", "from_xy", "till_xy"], ["boxes"], {"axis": 1}),
    ]
    constants: dict[str, Array] = {
        "bright": np.array(BRIGHT, dtype=np.float32),
        "eight": np.array(8, dtype=np.float32),
        "sides": np.array([1, 2], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "zero": np.array(0, dtype=np.int64),
        "y_and_x": np.array([1, 2], dtype=np.int64),
        "x_and_y": np.array([1, 0], dtype=np.int64),
    }
    inputs: dict[str, list[int | str]] = {
        "scale_factor": ["N", 2],
        "image": ["N", 3, "H", "W"],
        "im_shape": ["N", 2],
    }
    return _model(nodes, constants, inputs, {"boxes": (_FLOAT, ["M", 6]), "counts": (_INT32, ["N"])})


def _model(
    nodes: Sequence[bytes],
    constants: Mapping[str, Array],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, tuple[int, Sequence[int | str]]],
) -> bytes:
    graph = b"".join(field(1, node) for node in nodes) + field(2, b"tiny")
    graph += b"".join(field(5, _tensor(name, value)) for name, value in constants.items())
    graph += b"".join(field(11, _value(name, _FLOAT, shape)) for name, shape in inputs.items())
    graph += b"".join(field(12, _value(name, kind, shape)) for name, (kind, shape) in outputs.items())
    return field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, _OPSET))


def _node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Attributes | None = None
) -> bytes:
    names = [field(1, name.encode()) for name in inputs] + [field(2, name.encode()) for name in outputs]
    given = [field(5, _attribute(name, value)) for name, value in (attributes or {}).items()]
    return b"".join([*names, field(4, kind.encode()), *given])


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return field(1, name.encode()) + field(3, value) + field(20, _AS_INT)
    return field(1, name.encode()) + b"".join(field(8, each) for each in value) + field(20, _AS_INTS)


def _tensor(name: str, value: Array) -> bytes:
    kind, letter = (_FLOAT, "f") if value.dtype == np.float32 else (_INT64, "q")
    raw = struct.pack(f"<{value.size}{letter}", *value.reshape(-1).tolist())
    sizes = b"".join(field(1, size) for size in value.shape)
    return sizes + field(2, kind) + field(8, name.encode()) + field(9, raw)


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    sides = [field(1, side) if isinstance(side, int) else field(2, side.encode()) for side in shape]
    dimensions = b"".join(field(1, side) for side in sides)
    return field(1, name.encode()) + field(2, field(1, field(1, kind) + field(2, dimensions)))
