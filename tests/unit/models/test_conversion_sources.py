"""Weights in other formats, in files of a few bytes that are written here opcode by opcode."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from workers.models.conversion.dlib_weights import read_layers
from workers.models.conversion.layers import fold
from workers.models.conversion.onnx_graph import read_graph, with_open_sizes
from workers.models.conversion.torch_weights import read_state
from workers.models.protobuf import field, fields

FLOATS, TENSOR = b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def storage(key: str, kind: bytes = FLOATS, tag: str = "storage") -> bytes:
    return b"(" + text(tag) + kind + text(key) + text("cpu") + b"K\x06Nt" + b"Q"


def tensor(shape: Sequence[int], strides: Sequence[int], *, offset: int = 0, call: bytes = TENSOR) -> bytes:
    arguments = storage("7") + b"K" + bytes([offset]) + integers(shape) + integers(strides)
    return call + b"(" + arguments + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"t" + b"R"


def pickle_of(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def torch_file(value: bytes, *, count: int = 6) -> bytes:
    """A legacy file with one entry `w` and one storage of the numbers from 0 on."""
    magic = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    system = b"}(" + text("little_endian") + b"\x88u"
    state = b"ccollections\nOrderedDict\n)R(" + text("w") + value + b"u"
    keys = b"](" + text("7") + b"e"
    head = b"".join(map(pickle_of, (magic, b"M\xe9\x03", system, state, keys)))
    return head + struct.pack("<q", 6) + np.arange(count, dtype="<f4").tobytes()


def test_a_tensor_is_read_in_the_order_of_its_strides() -> None:
    state = read_state(torch_file(tensor((2, 3), (1, 2))))
    assert state["w"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert state["w"].flags.c_contiguous
    assert read_state(torch_file(tensor((2, 2), (2, 1), offset=2)))["w"].tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (tensor((2, 4), (4, 1)), "reaches out of its storage"),
        (tensor((2, 3), (-1, 1)), "reaches out of its storage"),
        (tensor((2, 3), (3, 1), call=b"cos\nsystem\n"), "does not mention os system"),
        (text("a name"), "more than tensors"),
        (b"I01\n", "has no INT"),
        (b"cposix\nsystem\n" + text("true") + b"\x85R", "does not mention posix system"),
        (storage("7", tag="module"), "no storage"),
        (b"h\x63", "damaged"),
    ],
)
def test_a_file_that_holds_anything_but_tensors_is_refused(value: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_state(torch_file(value))


def test_a_file_that_is_cut_off_or_another_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        read_state(torch_file(tensor((2, 3), (3, 1)), count=5))
    with pytest.raises(ValueError, match="no legacy PyTorch file"):
        read_state(pickle_of(b"K\x01"))


def dlib_number(value: int) -> bytes:
    size = max((abs(value).bit_length() + 7) // 8, 1)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def dlib_layer(name: str, values: Sequence[float], *before: int) -> bytes:
    shape = b"".join(map(dlib_number, (2, len(values), 1, 1, 1)))
    sizes = b"".join(map(dlib_number, before))
    return bytes([1, len(name)]) + name.encode() + sizes + shape + np.array(values, dtype="<f4").tobytes()


def test_the_layers_of_a_dlib_file_are_read_in_order() -> None:
    empty = b"".join(map(dlib_number, (2, 0, 0, 0, 0)))
    file = (
        dlib_number(-300)
        + dlib_layer("affine_", (1, 2))
        + empty
        + dlib_layer("con_4", range(300))
        + b"input_rgb"
        + dlib_layer("fc_2", (5, 6), 1, 2)
    )
    found = [(kind, values.tolist()) for kind, values in read_layers(file)]
    assert found == [("affine_", [1, 2]), ("con_4", list(range(300))), ("fc_2", [5, 6])]


def test_a_dlib_file_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        list(read_layers(dlib_layer("con_4", range(300))[:-1]))
    with pytest.raises(ValueError, match="no tensor"):
        list(read_layers(b"\x01\x05con_4" + dlib_number(3)))


def onnx_value(name: str, *sizes: int) -> bytes:
    shape = b"".join(field(1, field(1, size)) for size in sizes)
    return field(1, name.encode()) + field(2, field(1, field(1, 1) + field(2, shape)))


def onnx_file() -> bytes:
    weight = (
        b"".join(field(1, size) for size in (2, 3))
        + field(2, 1)
        + field(8, b"w")
        + field(9, np.arange(6, dtype="<f4").tobytes())
    )
    counter = field(2, 7) + field(8, b"n") + field(9, bytes(8))
    setting = field(1, b"pads") + field(8, 1) + field(8, 0)
    node = field(1, b"x") + field(1, b"w") + field(2, b"y") + field(4, b"Conv") + field(5, setting)
    values = [
        (11, onnx_value("x", 10, 3, 32, 32)),
        (11, onnx_value("w", 2, 3)),
        (12, onnx_value("y", 10, 2, 8, 8)),
    ]
    graph = field(1, node) + field(5, weight) + field(5, counter) + b"".join(field(n, v) for n, v in values)
    return field(1, 3) + field(7, graph) + field(8, field(2, 9))


def test_an_onnx_graph_is_read_without_its_weights_among_the_inputs() -> None:
    graph = read_graph(onnx_file())
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))
    assert list(graph.weights) == ["w"]
    assert graph.weights["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    (node,) = graph.nodes
    assert (node.kind, node.inputs, node.outputs) == ("Conv", ("x", "w"), ("y",))
    assert node.settings == {"pads": (1, 0)}


def test_open_sizes_change_the_inputs_and_outputs_and_nothing_else() -> None:
    before, after = onnx_file(), with_open_sizes(onnx_file(), {"x": 3, "y": 2})
    assert b"W_out" in after
    was, is_ = read_graph(before), read_graph(after)
    assert (is_.nodes, is_.inputs, is_.outputs) == (was.nodes, was.inputs, was.outputs)
    model = dict(fields(memoryview(after)))
    assert model[1] == 4
    graph = [n for n, _ in fields(memoryview(bytes(model[7])))]
    assert (graph.count(5), graph.count(11), graph.count(12)) == (2, 1, 1)
    assert with_open_sizes(after, {"x": 3, "y": 2}) == after


def test_a_folded_convolution_does_what_both_layers_did() -> None:
    random = np.random.default_rng(1)
    weight, bias, scale, shift = (random.normal(size=n).astype(np.float32) for n in ((4, 3, 1, 1), 4, 4, 4))
    x = random.normal(size=3).astype(np.float32)
    both = (weight[:, :, 0, 0] @ x + bias) * scale + shift
    one_weight, one_bias = fold(weight, bias, scale, shift)
    np.testing.assert_allclose(one_weight[:, :, 0, 0] @ x + one_bias, both, rtol=1e-5, atol=1e-6)
