"""A model on disk, in PaddleX's format.

`inference.yml` beside `inference.json` or `inference.pdmodel` with `inference.pdiparams`, or beside
`inference.onnx`. Nothing here loads a network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal

import yaml

from paddlewheel.errors import ModelUnavailable
from workers.models.file_names import CONFIG, GRAPHS, ONNX, PARAMS

ModelFamily = Literal[
    "face_detection",
    "image_classification",
    "image_feature",
    "object_detection",
    "text_detection",
    "text_orientation",
    "text_recognition",
]

# The two labels of a line classifier; any other classifier is one of pictures.
LINE_ANGLES = ("0_degree", "180_degree")


@dataclass(frozen=True, kw_only=True)
class ModelDirectory:
    """One model's files.

    `name` is what it is served as, at first the config's `Global.model_name`; `family` is derived from its
    `PostProcess`, or from a detector's `Preprocess`, so official PaddleX directories need nothing added.
    `graph` and `params` are Paddle's files (both or neither are set), `onnx` is the ONNX file; at least one
    of the two forms is there.
    """

    path: Path
    name: str
    family: ModelFamily
    config: Mapping[str, Any]
    graph: Path | None
    params: Path | None
    onnx: Path | None

    @classmethod
    def open(cls, path: Path) -> "ModelDirectory":
        """Read the config and find the weights. Raises ModelUnavailable when a part is missing."""
        config = _read_config(path)
        graph = next((path / name for name in GRAPHS if (path / name).is_file()), None)
        params = path / PARAMS if (path / PARAMS).is_file() else None
        onnx = path / ONNX if (path / ONNX).is_file() else None
        if graph is None or params is None:
            _require_onnx(path, graph=graph, params=params, onnx=onnx)
            graph = params = None
        return cls(
            path=path,
            name=_name(config, path),
            family=_family(config, path),
            config=config,
            graph=graph,
            params=params,
            onnx=onnx,
        )

    @cached_property
    def transforms(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings of each step in `PreProcess.transform_ops`, by its name. Raises ModelUnavailable."""
        steps = (self.config.get("PreProcess") or {}).get("transform_ops")
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise ModelUnavailable(f"{self.path / CONFIG} has no PreProcess.transform_ops: export it again.")
        given = {name: settings or {} for step in steps for name, settings in step.items()}
        if not all(isinstance(settings, dict) for settings in given.values()):
            raise ModelUnavailable(f"{self.path / CONFIG}: a step's settings are no mapping.")
        return given

    @property
    def channel_order(self) -> Literal["BGR", "RGB"]:
        """The order of colours that the network was trained on; PaddleX reads RGB by default."""
        return "BGR" if self.transforms.get("DecodeImage", {}).get("img_mode") == "BGR" else "RGB"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and bytes of the files: equal for equal weights and config."""
        digest = sha256()
        for file in sorted(f for f in (self.path / CONFIG, self.graph, self.params, self.onnx) if f):
            with file.open("rb") as stream:
                digest.update(f"{file.name} {file_digest(stream, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()


def _read_config(path: Path) -> Mapping[str, Any]:
    if not path.is_dir():
        raise ModelUnavailable(f"{path} is not a directory: install the model or correct the path.")
    try:
        # The C loader reads an 18,000-character dictionary in 0.1 s, the Python one in 2 s.
        config = yaml.load((path / CONFIG).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError as err:
        raise ModelUnavailable(f"{path} has no {CONFIG}: export the model in PaddleX's format.") from err
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ModelUnavailable(f"{path / CONFIG} cannot be read: {err}") from err
    if not isinstance(config, dict):
        raise ModelUnavailable(f"{path / CONFIG} is not a mapping: export the model again.")
    return config


def _require_onnx(path: Path, *, graph: Path | None, params: Path | None, onnx: Path | None) -> None:
    if onnx is not None:
        return
    if graph is not None:
        raise ModelUnavailable(f"{path} has {graph.name} but no {PARAMS}: copy the whole model.")
    if params is not None:
        raise ModelUnavailable(f"{path} has {PARAMS} but no {' or '.join(GRAPHS)}: copy the whole model.")
    raise ModelUnavailable(f"{path} has no weights: it needs {' or '.join(GRAPHS)} with {PARAMS}, or {ONNX}.")


def _name(config: Mapping[str, Any], path: Path) -> str:
    settings = config.get("Global")
    name = settings.get("model_name") if isinstance(settings, dict) else None
    if not isinstance(name, str) or not name:
        raise ModelUnavailable(f"{path / CONFIG} has no Global.model_name: add the model's name.")
    return name


def _family(config: Mapping[str, Any], path: Path) -> ModelFamily:
    post = config.get("PostProcess")
    match post if isinstance(post, dict) else {}:
        case {"name": "CTCLabelDecode"}:
            return "text_recognition"
        case {"name": "DBPostProcess"}:
            return "text_detection"
        case {"name": "CenterFaceDecode"}:
            return "face_detection"
        case {"Topk": {"label_list": [*labels]}} if set(map(str, labels)) == set(LINE_ANGLES):
            return "text_orientation"
        case {"Topk": {}}:
            return "image_classification"
        case {"NormalizeFeatures": _}:
            return "image_feature"
    # PaddleX's detectors have no PostProcess, and their Preprocess is spelt and shaped in a way of its own.
    if "Preprocess" in config and "label_list" in config:
        return "object_detection"
    known = "CTCLabelDecode, DBPostProcess, CenterFaceDecode, Topk, NormalizeFeatures"
    raise ModelUnavailable(
        f"{path / CONFIG}: its PostProcess belongs to no family served here ({known}), "
        "and it has no Preprocess and label_list, as a detector has."
    )
