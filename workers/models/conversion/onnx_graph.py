"""The graph in an ONNX file (onnx.proto), read and changed without the onnx package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.models.protobuf import field, fields

# Field numbers of onnx.proto.
_MODEL_VERSION, _MODEL_GRAPH = 1, 7
_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_SETTING = 1, 2, 4, 5
_SETTING_NAME, _SETTING_FLOAT, _SETTING_INTEGER, _SETTING_INTEGERS = 1, 2, 3, 8
_TENSOR_SIZE, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 4, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2

# From this version on, weights need not be repeated among the inputs, where engines take them for variable.
_WEIGHTS_ARE_NO_INPUTS = 4

_FLOAT = 1

_Fields = Sequence[tuple[int, int | memoryview]]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation. A setting is a number or a list of integers."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, float | tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Operations in the order in which they are computed; `inputs` without the weights.

    `weights` are those in float32; a file may also hold counters that only training uses.
    """

    nodes: tuple[Node, ...]
    weights: Mapping[str, NDArray[np.float32]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(model: bytes) -> Graph:
    """The graph of a network. Raises ValueError."""
    parts = [part for graph in _messages(_parts(model), _MODEL_GRAPH) for part in fields(graph)]
    tensors = [_parts(value) for value in _messages(parts, _GRAPH_WEIGHT)]
    names = {_text(tensor, _TENSOR_NAME) for tensor in tensors}
    inputs = [_text(_parts(value), _VALUE_NAME) for value in _messages(parts, _GRAPH_INPUT)]
    return Graph(
        nodes=tuple(_node(value) for value in _messages(parts, _GRAPH_NODE)),
        weights=dict(_weight(tensor) for tensor in tensors if (_TENSOR_TYPE, _FLOAT) in tensor),
        inputs=tuple(name for name in inputs if name not in names),
        outputs=tuple(_text(_parts(value), _VALUE_NAME) for value in _messages(parts, _GRAPH_OUTPUT)),
    )


def with_open_sizes(model: bytes, channels: Mapping[str, int]) -> bytes:
    """The same network for any N, height and width; `channels` are those of each input and output.

    Weights that are named among the inputs are taken out from there.
    """
    out = bytearray()
    for number, value in fields(memoryview(model)):
        if number == _MODEL_VERSION and isinstance(value, int):
            value = max(value, _WEIGHTS_ARE_NO_INPUTS)
        elif number == _MODEL_GRAPH and isinstance(value, memoryview):
            value = memoryview(_open_sizes(value, channels))
        out += field(number, value if isinstance(value, int) else bytes(value))
    return bytes(out)


def _open_sizes(graph: memoryview, channels: Mapping[str, int]) -> bytes:
    out = bytearray()
    for number, value in fields(graph):
        content = value if isinstance(value, int) else bytes(value)
        if number in (_GRAPH_INPUT, _GRAPH_OUTPUT) and isinstance(value, memoryview):
            name = _text(_parts(value), _VALUE_NAME)
            if name not in channels:
                continue
            content = _tensor(name, channels[name], "" if number == _GRAPH_INPUT else "_out")
        out += field(number, content)
    return bytes(out)


def _tensor(name: str, channels: int, suffix: str) -> bytes:
    """A ValueInfoProto: a float tensor [N, channels, height, width] of which only `channels` is fixed."""
    sizes = (
        field(2, b"N"),
        field(1, channels),
        field(2, b"H" + suffix.encode()),
        field(2, b"W" + suffix.encode()),
    )
    shape = b"".join(field(1, size) for size in sizes)
    tensor = field(1, _FLOAT) + field(2, shape)
    return field(_VALUE_NAME, name.encode()) + field(_VALUE_TYPE, field(1, tensor))


def _node(value: memoryview) -> Node:
    parts = _parts(value)
    return Node(
        kind=_text(parts, _NODE_KIND),
        inputs=tuple(_texts(parts, _NODE_INPUT)),
        outputs=tuple(_texts(parts, _NODE_OUTPUT)),
        settings=dict(_setting(each) for each in _messages(parts, _NODE_SETTING)),
    )


def _setting(value: memoryview) -> tuple[str, float | tuple[int, ...]]:
    parts = _parts(value)
    name = _text(parts, _SETTING_NAME)
    for number, content in parts:
        if number == _SETTING_FLOAT and isinstance(content, memoryview):
            return name, float(np.frombuffer(content, "<f4")[0])
        if number == _SETTING_INTEGER and isinstance(content, int):
            return name, content
    return name, tuple(n for number, n in parts if number == _SETTING_INTEGERS and isinstance(n, int))


def _weight(parts: _Fields) -> tuple[str, NDArray[np.float32]]:
    shape = [size for number, size in parts if number == _TENSOR_SIZE and isinstance(size, int)]
    content = b"".join(_messages(parts, _TENSOR_BYTES)) or b"".join(_messages(parts, _TENSOR_FLOATS))
    return _text(parts, _TENSOR_NAME), np.frombuffer(content, "<f4").reshape(shape)


def _parts(message: bytes | memoryview) -> _Fields:
    return list(fields(memoryview(message)))


def _messages(parts: _Fields, number: int) -> list[memoryview]:
    return [value for n, value in parts if n == number and isinstance(value, memoryview)]


def _texts(parts: _Fields, number: int) -> list[str]:
    return [bytes(value).decode() for value in _messages(parts, number)]


def _text(parts: _Fields, number: int) -> str:
    return next(iter(_texts(parts, number)), "")
