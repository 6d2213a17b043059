"""The networks of tests.tiny_networks, written by Paddle: `python -m tests.tiny_layers FOLDER`."""

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper
from paddle.nn.functional import adaptive_avg_pool2d, hardsigmoid, relu, softmax

from tests.tiny_networks import CONFIGS, HEADS, OTHERS


def waves(*shape: int, phase: float, size: float) -> Any:
    """Numbers between -size and size that look unlike each other."""
    numbers = np.sin(np.arange(np.prod(shape), dtype=np.float64) * 1.7 + phase) * size
    return paddle.to_tensor(numbers.reshape(shape).astype(np.float32))


class Trunk(nn.Layer):
    """Pixels to 8 maps of an eighth of the sides."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2D(3, 8, 4, stride=4), nn.Conv2D(8, 8, 3, stride=2, padding=1)
        self.first.weight.set_value(waves(8, 3, 4, 4, phase=0.1, size=0.4))
        self.first.bias.set_value(waves(8, phase=0.2, size=0.3))
        self.second.weight.set_value(waves(8, 8, 3, 3, phase=0.3, size=0.3))
        self.second.bias.set_value(waves(8, phase=0.4, size=0.3))

    def forward(self, image: Any) -> Any:
        return relu(self.second(relu(self.first(image))))


class Embedder(nn.Layer):
    """A picture to a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk, self.out = Trunk(), nn.Linear(8, width)
        weights = waves(8, width, phase=0.5, size=8)
        # What all maps have in common would make all pictures look alike.
        self.out.weight.set_value(weights - weights.mean(axis=0))
        self.out.bias.set_value(waves(width, phase=0.6, size=0.2))

    def forward(self, x: Any) -> Any:
        return self.out(adaptive_avg_pool2d(self.trunk(x), 1).flatten(1))


class Classifier(Embedder):
    """A picture to probabilities."""

    def forward(self, x: Any) -> Any:
        return softmax(super().forward(x))


class Heads(nn.Layer):
    """BlazeFace's way of putting maps of two sizes together, which oneDNN at level 3 refuses (3.3.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.large, self.small = nn.Conv2D(8, 2, 1), nn.Conv2D(8, 6, 2, stride=2)
        self.large.weight.set_value(waves(2, 8, 1, 1, phase=0.9, size=1))
        self.small.weight.set_value(waves(6, 8, 2, 2, phase=1.0, size=1))

    def forward(self, x: Any) -> Any:
        maps = self.trunk(x)
        large = self.large(maps).transpose([0, 2, 3, 1]).reshape([-1, 512, 1])
        small = self.small(maps).transpose([0, 2, 3, 1]).reshape([-1, 384, 1])
        return hardsigmoid(paddle.concat([large, small], axis=1))


class Cells(nn.Layer):
    """A picture to a box and two scores at each cell of 8 by 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.out = Trunk(), nn.Conv2D(8, 6, 1)
        self.out.weight.set_value(waves(6, 8, 1, 1, phase=0.7, size=1.5))
        self.out.bias.set_value(waves(6, phase=0.8, size=0.5) - 0.4)

    def boxes(self, image: Any, scale_factor: Any) -> tuple[Any, Any]:
        """Boxes [N, cells, 4] in pixels of the picture, and scores [N, classes, cells]."""
        maps = self.out(self.trunk(image))
        rows, columns = paddle.shape(maps)[2], paddle.shape(maps)[3]
        y = paddle.arange(rows).astype("float32").reshape([1, -1, 1]) * 8 + hardsigmoid(maps[:, 4]) * 8
        x = paddle.arange(columns).astype("float32").reshape([1, 1, -1]) * 8 + hardsigmoid(maps[:, 5]) * 8
        width, height = hardsigmoid(maps[:, 2]) * 24 + 4, hardsigmoid(maps[:, 3]) * 24 + 4
        corners = paddle.stack([x - width, y - height, x + width, y + height], axis=-1)
        scale = scale_factor.flip(1).tile([1, 2]).unsqueeze(1)
        odds = relu(maps[:, :2] * 8 - 6.3).flatten(2)
        return corners.flatten(1, 2) / scale, odds / (odds + 1)


class Detector(Cells):
    """The best boxes, suppressed where they overlap."""

    def forward(self, image: Any, scale_factor: Any) -> tuple[Any, Any]:
        return suppressed(*self.boxes(image, scale_factor))


class SizedDetector(Cells):
    """One that also takes the image's size, and keeps boxes within it: BlazeFace's kind."""

    def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> tuple[Any, Any]:
        boxes, scores = self.boxes(image, scale_factor)
        limits = (im_shape / scale_factor).flip(1).tile([1, 2]).unsqueeze(1)
        return suppressed(boxes - relu(boxes - limits), scores)


def suppressed(boxes: Any, scores: Any) -> tuple[Any, Any]:
    """The boxes of all pictures below each other, [M, 6], and how many each picture has."""
    settings: dict[str, Any] = {
        "score_threshold": 0.2,
        "nms_top_k": 100,
        "keep_top_k": 8,
        "nms_threshold": 0.4,
        "normalized": False,
        "nms_eta": 1.0,
        "background_label": -1,
    }
    if paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
        kept, _, counts = cast(Any, paddle._C_ops).multiclass_nms3(boxes, scores, None, *settings.values())
        return kept, counts
    helper = LayerHelper("multiclass_nms3")
    outputs = {
        "Out": helper.create_variable_for_type_inference("float32"),
        "Index": helper.create_variable_for_type_inference("int32"),
        "NmsRoisNum": helper.create_variable_for_type_inference("int32"),
    }
    inputs = {"BBoxes": boxes, "Scores": scores}
    helper.append_op(type="multiclass_nms3", inputs=inputs, attrs=settings, outputs=outputs)
    return outputs["Out"], outputs["NmsRoisNum"]


def layer(name: str, config: Any) -> tuple[nn.Layer, list[Any]]:
    """The network that a directory calls for, and what it takes."""
    if name == HEADS:
        return Heads(), [_spec("x", 3, 128, 128)]
    if "Preprocess" not in config:
        given = [_spec("x", 3, -1, -1)]
        return (Classifier(4) if "Topk" in config["PostProcess"] else Embedder(16)), given
    given = [_spec("image", 3, -1, -1), _spec("scale_factor", 2)]
    if config["Global"]["model_name"] == "BlazeFace":
        return SizedDetector(), [_spec("im_shape", 2), *given]
    return Detector(), given


def _spec(name: str, *shape: int) -> Any:
    return paddle.static.InputSpec([-1, *shape], "float32", name)


def main() -> None:
    """Write the graph and the weights of each directory."""
    for name, config in {**CONFIGS, **OTHERS}.items():
        network, inputs = layer(name, config)
        network.eval()
        static = paddle.jit.to_static(network, input_spec=inputs, full_graph=True)
        paddle.jit.save(static, str(Path(sys.argv[1], name, "inference")))


if __name__ == "__main__":
    main()
