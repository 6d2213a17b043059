"""CenterFace as PaddleX's face detection loads it: in the form of its PicoDet_LCNet_x2_5_face.

    python -m benchmarks.face_boxes FOLDER

PaddleX has no class for CenterFace. This is the same network with the weights of the model home; that its
maps become boxes, and that boxes are suppressed where they overlap, is done in the graph. Pictures keep
their size and are filled up to multiples of 32, as ours are. Paddlewheel loads the directory as it loads any
detector of PaddleX, so both sides find faces with the same files.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from local.checkout import CHECKOUT
from workers.models.file_names import CONFIG, GRAPHS, ONNX, PARAMS

NAME: Final = "PicoDet_LCNet_x2_5_face"
THRESHOLD: Final = 0.5
SOURCE: Final = CHECKOUT / ".paddlewheel" / "models" / "CenterFace" / ONNX

_STRIDE: Final = 4.0
_SUPPRESSION: Final = {
    "score_threshold": THRESHOLD,
    "nms_top_k": 1000,
    "keep_top_k": 1000,
    "nms_threshold": 0.3,
    "normalized": False,
    "nms_eta": 1.0,
    "background_label": -1,
}
_CONFIG: Final[dict[str, Any]] = {
    "Global": {"model_name": NAME},
    "mode": "paddle",
    "metric": "COCO",
    "arch": "GFL",
    "Preprocess": [{"type": "Permute"}, {"type": "PadStride", "stride": 32}],
    "label_list": ["face"],
    "draw_threshold": THRESHOLD,
}


def write_detector(folder: Path) -> Path:
    """The directory in this folder. In a process of its own: Paddle looks at its form when it is imported."""
    environment = {**os.environ, "FLAGS_enable_pir_api": "0", "PYTHONWARNINGS": "ignore"}
    line = [sys.executable, "-m", "benchmarks.face_boxes", str(folder.absolute())]
    done = subprocess.run(line, check=False, env=environment, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"CenterFace could not be written for PaddleX:\n{done.stderr[-2000:]}")
    return folder / NAME


def main() -> None:
    """Write config, graph and weights."""
    os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 (Paddle's spelling)
    directory = Path(sys.argv[1]) / NAME
    directory.mkdir(parents=True)
    (directory / CONFIG).write_text(yaml.safe_dump(_CONFIG, sort_keys=False), encoding="utf-8")
    graph, params = exported(SOURCE.read_bytes())
    (directory / GRAPHS[1]).write_bytes(graph)
    (directory / PARAMS).write_bytes(params)


def exported(source: bytes) -> tuple[bytes, bytes]:
    """The graph and the weights: inputs image [N, 3, H, W], RGB, 0..255, and scale_factor [N, 2] (y, x).

    Outputs are rows [M, 6] (class, score, x1, y1, x2, y2) in pixels of the picture, and their counts [N].
    """
    import paddle

    from workers.models.conversion import centerface
    from workers.models.conversion.paddle_program import PaddleProgram

    class Program(PaddleProgram):
        def input(self, channels: int, height: int = -1, width: int = -1) -> Any:
            data: Any = paddle.static.data
            image = data("image", [-1, channels, height, width], "float32")
            self.scale_factor = data("scale_factor", [-1, 2], "float32")
            self._inputs += [image, self.scale_factor]
            return image

    program = Program()
    with program:
        maps = centerface.build(program, source)
        return program.serialize(_suppressed(_corners(maps, program.scale_factor), maps[0]))


def _corners(maps: Sequence[Any], scale_factor: Any) -> Any:
    """A box for each cell, [N, cells, 4]: as `workers.models.families.face_detection` decodes them."""
    import paddle

    scores, sizes, offsets, _ = maps
    ones = paddle.ones_like(scores)
    middle_x = (paddle.cumsum(ones, 3) - 0.5 + offsets[:, 1:2]) * _STRIDE
    middle_y = (paddle.cumsum(ones, 2) - 0.5 + offsets[:, 0:1]) * _STRIDE
    half = _operation("exp", {"X": sizes}, Out="float32")["Out"] * (_STRIDE / 2)
    half_x, half_y = half[:, 1:2], half[:, 0:1]
    corners = (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
    boxes = paddle.concat(corners, 1).flatten(2).transpose([0, 2, 1])
    scale = paddle.concat([scale_factor[:, 1:2], scale_factor[:, 0:1]] * 2, 1)
    return boxes / scale.unsqueeze(1)


def _suppressed(boxes: Any, scores: Any) -> tuple[Any, Any]:
    inputs = {"BBoxes": boxes, "Scores": scores.flatten(2)}
    kinds = {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"}
    kept = _operation("multiclass_nms3", inputs, _SUPPRESSION, **kinds)
    return kept["Out"], kept["NmsRoisNum"]


def _operation(
    kind: str, inputs: Mapping[str, Any], settings: Mapping[str, Any] | None = None, **outputs: str
) -> dict[str, Any]:
    """One whose function in Paddle 3.3.1 takes the new form only."""
    from paddle.base.layer_helper import LayerHelper

    helper = LayerHelper(kind)
    made = {name: helper.create_variable_for_type_inference(of) for name, of in outputs.items()}
    helper.append_op(type=kind, inputs=dict(inputs), attrs=dict(settings or {}), outputs=made)
    return made


if __name__ == "__main__":
    main()
