"""The names of the files in a model directory, as PaddleX writes them."""

from typing import Final

CONFIG: Final = "inference.yml"
GRAPHS: Final = ("inference.json", "inference.pdmodel")
PARAMS: Final = "inference.pdiparams"
ONNX: Final = "inference.onnx"
