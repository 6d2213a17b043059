"""CenterFace (Xu et al., 2019): faces and their landmarks at a quarter of the picture's size.

The source is centerface.onnx, whose sizes are fixed to those it was exported with.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.models.conversion.layers import Layers, fold
from workers.models.conversion.onnx_graph import Graph, Node, read_graph, with_open_sizes

# Heatmap, height and width, offset, five landmarks.
_OUTPUTS = {"537": 1, "538": 2, "539": 2, "540": 10}
_INPUT = {"input.1": 3}


def open_onnx(source: bytes) -> bytes:
    """The ONNX file with open sizes. Raises ValueError."""
    return with_open_sizes(source, {**_INPUT, **_OUTPUTS})


def build(layers: Layers, source: bytes) -> Sequence[Any]:
    """Input [N, 3, H, W], RGB, 0..255, sides multiples of 32; outputs [N, 1 | 2 | 2 | 10, H / 4, W / 4].

    Raises ValueError.
    """
    graph = read_graph(source)
    if graph.inputs != tuple(_INPUT) or graph.outputs != tuple(_OUTPUTS):
        raise ValueError("this is not CenterFace")
    tensors = {name: layers.input(channels) for name, channels in _INPUT.items()}
    for node in graph.nodes:
        tensors[node.outputs[0]] = _compute(layers, graph, node, tensors)
    return tuple(tensors[name] for name in _OUTPUTS)


def _compute(layers: Layers, graph: Graph, node: Node, tensors: dict[str, Any]) -> Any:
    x = tensors[node.inputs[0]]
    match node.kind:
        case "Conv":
            return _convolution(layers, graph, node, x)
        case "ConvTranspose":
            return x  # computed with the normalisation after it
        case "BatchNormalization":
            return _transposed_convolution(layers, graph, node, x)
        case "Relu":
            return layers.relu(x)
        case "Add":
            return layers.add(x, tensors[node.inputs[1]])
        case "Sigmoid":
            return layers.sigmoid(x)
    raise ValueError(f"CenterFace has no {node.kind}")


def _convolution(layers: Layers, graph: Graph, node: Node, x: Any) -> Any:
    weight, bias = (graph.weights[name] for name in node.inputs[1:])
    stride, _ = _integers(node, "strides")
    top, left, bottom, right = _integers(node, "pads")
    groups = node.settings["group"]
    return layers.convolution(
        x, weight, bias, stride=stride, pad=(top, bottom, left, right), groups=int(str(groups))
    )


def _transposed_convolution(layers: Layers, graph: Graph, norm: Node, x: Any) -> Any:
    """A transposed convolution and the batch normalisation after it, as one."""
    node = next(each for each in graph.nodes if each.outputs[0] == norm.inputs[0])
    if node.kind != "ConvTranspose" or any(_integers(node, "pads")) or node.settings["group"] != 1:
        raise ValueError("CenterFace normalises transposed convolutions without padding only")
    weight = graph.weights[node.inputs[1]]
    gamma, beta, mean, variance = (graph.weights[name].astype(np.float64) for name in norm.inputs[1:])
    scale = gamma / np.sqrt(variance + norm.settings["epsilon"])
    flipped, bias = fold(weight.swapaxes(0, 1), np.zeros_like(beta), scale, beta - mean * scale)
    stride, _ = _integers(node, "strides")
    return layers.transposed_convolution(x, np.ascontiguousarray(flipped.swapaxes(0, 1)), bias, stride=stride)


def _integers(node: Node, name: str) -> tuple[int, ...]:
    value = node.settings[name]
    if not isinstance(value, tuple):
        raise ValueError(f"{node.kind}: {name} is not a list")
    return value
