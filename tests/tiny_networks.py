"""Small model directories in PaddleX's format, a few for each family: configs here, networks in tiny_layers.

Weights come from a formula, so they are the same on every machine.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from local.checkout import CHECKOUT

_IMAGENET: Final = {
    "NormalizeImage": {
        "channel_num": 3,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "scale": 0.00392156862745098,
        "order": "",
    }
}
_CENTRED: Final = {
    "NormalizeImage": {"channel_num": 3, "mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "order": ""}
}


def _pictures(name: str, resize: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    steps = [{"ResizeImage": dict(resize)}, *others, {"ToCHWImage": None}]
    return {"Global": {"model_name": name}, "PreProcess": {"transform_ops": steps}}


def _features(name: str, resize: Mapping[str, Any], normalize: Mapping[str, Any]) -> dict[str, Any]:
    return {**_pictures(name, resize, normalize), "PostProcess": {"NormalizeFeatures": None}}


def _classes(
    name: str, resize: Mapping[str, Any], *others: Mapping[str, Any], labels: Sequence[str] | None
) -> dict[str, Any]:
    return {**_pictures(name, resize, *others), "PostProcess": {"Topk": {"topk": 3, "label_list": labels}}}


def _objects(name: str, steps: Sequence[Mapping[str, Any]], **others: Any) -> dict[str, Any]:
    labels = ["face", "hand"]
    config = {"Global": {"model_name": name}, "mode": "paddle", "metric": "COCO", "arch": "SSD"}
    return {**config, "Preprocess": list(steps), "label_list": labels, "draw_threshold": 0.5, **others}


_DETECTOR_NORMALIZE: Final = {
    "type": "NormalizeImage",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "is_scale": True,
    "norm_type": "mean_std",
}
_LABELS: Final = ["cat", "dog", "冰箱", "bird"]

CONFIGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "feature": _features("PP-ShiTuV2_rec", {"size": [56, 48], "return_numpy": False}, _IMAGENET),
    "feature_short": _features(
        "PP-ShiTuV2_rec",
        {"resize_short": 40, "backend": "pil", "interpolation": "BICUBIC"},
        _IMAGENET,
    ),
    "face_feature": _features("MobileFaceNet", {"size": [56, 56]}, _CENTRED),
    "classifier": _classes(
        "PP-LCNet_x1_0", {"resize_short": 64}, {"CropImage": {"size": 56}}, _IMAGENET, labels=_LABELS
    ),
    "classifier_pil": _classes(
        "PP-LCNet_x1_0_doc_ori",
        {"resize_short": 64, "backend": "pil", "interpolation": "bicubic"},
        {"CropImage": {"size": [56, 48]}},
        _IMAGENET,
        labels=["0", "90", "180", "270"],
    ),
    "classifier_area": _classes(
        "ResNet50", {"size": 48, "interpolation": "AREA", "backend": "cv2"}, _CENTRED, labels=None
    ),
    "detector": _objects(
        "PicoDet_LCNet_x2_5_face",
        [
            {"type": "Resize", "interp": 2, "keep_ratio": False, "target_size": [96, 128]},
            _DETECTOR_NORMALIZE,
            {"type": "Permute"},
        ],
    ),
    "detector_padded": _objects(
        "PP-YOLOE_plus-S_face",
        [
            {"type": "Resize", "interp": 1, "keep_ratio": True, "target_size": [96, 96]},
            {"type": "Pad", "size": [96, 96], "fill_value": [114.0, 113.5, 112.0]},
            {**_DETECTOR_NORMALIZE, "norm_type": "none"},
            {"type": "Permute"},
        ],
        draw_threshold=0.3,
    ),
    "blazeface": _objects(
        "BlazeFace",
        [
            {
                "type": "NormalizeImage",
                "mean": [123, 117, 104],
                "std": [127.502231, 127.502231, 127.502231],
                "is_scale": False,
            },
            {"type": "Permute"},
            {"type": "PadStride", "stride": 32},
        ],
    ),
}
"""The `inference.yml` of each directory; PaddleX loads by the names in it."""

HEADS: Final = "heads"
OTHERS: Final[Mapping[str, Mapping[str, Any]]] = {
    HEADS: _features("BlazeFace's heads", {"size": 128}, _CENTRED),
}
"""Directories that PaddleX's default engine cannot run: nothing to compare with."""


def make_networks(folder: Path, *, old: bool = False) -> None:
    """Write every directory into the folder, in a process of its own: this one's Paddle stays as it is.

    `old` writes `inference.pdmodel`, as Paddle 2 did, instead of `inference.json`; Paddle decides which when
    it is imported.
    """
    for name, config in {**CONFIGS, **OTHERS}.items():
        (folder / name).mkdir(parents=True)
        text = yaml.safe_dump(dict(config), allow_unicode=True, sort_keys=False)
        (folder / name / "inference.yml").write_text(text, encoding="utf-8")
    environment = {**os.environ, "FLAGS_enable_pir_api": "0" if old else "1", "PYTHONWARNINGS": "ignore"}
    line = [sys.executable, "-m", "tests.tiny_layers", str(folder)]
    done = subprocess.run(line, check=False, env=environment, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Paddle could not write the networks:\n{done.stderr[-3000:]}")
