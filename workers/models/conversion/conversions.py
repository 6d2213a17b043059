"""The conversions that the catalog names, and what each of them writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from workers.models.conversion import centerface, dlib_face_resnet, efficientnet_lite
from workers.models.conversion.layers import NetworkBuilder
from workers.models.conversion.paddle_program import PaddleProgram
from workers.models.file_names import GRAPHS, ONNX, PARAMS


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A network, and files that are made of its source without Paddle, by their names."""

    network: NetworkBuilder
    others: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)


CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "centerface": Conversion(network=centerface.build, others={ONNX: centerface.open_onnx}),
    "dlib_face_resnet": Conversion(network=dlib_face_resnet.build),
    "efficientnet_lite0": Conversion(network=efficientnet_lite.build_classifier),
    "efficientnet_lite0_feature": Conversion(network=efficientnet_lite.build_embedder),
}


def convert(kind: str, source: bytes) -> dict[str, bytes]:
    """The files of a model directory by name, without its config. Raises ValueError."""
    conversion = CONVERSIONS[kind]
    with PaddleProgram() as program:
        graph, params = program.serialize(conversion.network(program, source))
    others = {name: make(source) for name, make in conversion.others.items()}
    return {GRAPHS[1]: graph, PARAMS: params, **others}
