"""EfficientNet-Lite0: 224x224 pixels to the probabilities of ImageNet's 1000 classes, or to 1280 numbers.

The architecture is that of TensorFlow's efficientnet/lite, with its padding; the weights are
efficientnet-lite0-57934424.pth, which were ported from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.models.conversion.layers import Layers, Sides, fold
from workers.models.conversion.torch_weights import read_state

SIDE = 224

# Of each of the sixteen blocks.
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
_EPSILON = 1e-3

_State = Mapping[str, NDArray[Any]]


def build_classifier(layers: Layers, source: bytes) -> Sequence[Any]:
    """Input [N, 3, 224, 224], RGB, -1..1; output: probabilities [N, 1000]. Raises ValueError."""
    state = _read(source)
    logits = layers.linear(
        _pool(layers, state), np.ascontiguousarray(state["_fc.weight"].T), state["_fc.bias"]
    )
    return (layers.softmax(logits),)


def build_embedder(layers: Layers, source: bytes) -> Sequence[Any]:
    """Input [N, 3, 224, 224], RGB, -1..1; output: what the classifier sees, [N, 1280]. Raises ValueError."""
    return (_pool(layers, _read(source)),)


def _read(source: bytes) -> _State:
    state = read_state(source)
    if state.get("_fc.weight", np.zeros(0)).shape != (1000, 1280):
        raise ValueError("these are not the weights of EfficientNet-Lite0")
    return state


def _pool(layers: Layers, state: _State) -> Any:
    x = layers.input(3, SIDE, SIDE)
    x = layers.relu(_convolution(layers, x, state, "_conv_stem", "_bn0", stride=2), 6)
    for block, stride in enumerate(_STRIDES):
        x = _block(layers, x, state, f"_blocks.{block}.", stride)
    x = layers.relu(_convolution(layers, x, state, "_conv_head", "_bn1"), 6)
    return layers.global_average(x)


def _block(layers: Layers, x: Any, state: _State, name: str, stride: int) -> Any:
    inner = x
    if f"{name}_expand_conv.weight" in state:
        inner = layers.relu(_convolution(layers, x, state, f"{name}_expand_conv", f"{name}_bn0"), 6)
    inner = _convolution(layers, inner, state, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride)
    inner = _convolution(layers, layers.relu(inner, 6), state, f"{name}_project_conv", f"{name}_bn2")
    expand = state.get(f"{name}_expand_conv.weight", state[f"{name}_depthwise_conv.weight"])
    before = expand.shape[1] if f"{name}_expand_conv.weight" in state else expand.shape[0]
    same = stride == 1 and before == state[f"{name}_project_conv.weight"].shape[0]
    return layers.add(inner, x) if same else inner


def _convolution(
    layers: Layers, x: Any, state: _State, convolution: str, norm: str, *, stride: int = 1
) -> Any:
    """A convolution and the batch normalisation after it, as one."""
    weight = state[f"{convolution}.weight"]
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(np.float64) + _EPSILON)
    shift = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    weight, bias = fold(weight, np.zeros(len(weight), dtype=np.float32), scale, shift)
    depthwise = weight.shape[1] == 1
    return layers.convolution(
        x,
        weight,
        bias,
        stride=stride,
        pad=_same(weight.shape[-1], stride),
        groups=len(weight) if depthwise else 1,
    )


def _same(kernel: int, stride: int) -> Sides:
    """TensorFlow's padding where every side is a multiple of the stride: an odd zero comes last."""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return before, after, before, after
