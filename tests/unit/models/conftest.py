"""Model directories of a few bytes: configs are real, weights are not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

RECOGNITION: Mapping[str, Any] = {
    "Global": {"model_name": "tiny_rec"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
            {"RecResizeImg": {"image_shape": [3, 48, 320]}},
            {"KeepKeys": None},
        ]
    },
    "PostProcess": {"name": "CTCLabelDecode", "character_dict": ["a", "b", "c"]},
}

DETECTION: Mapping[str, Any] = {
    "Global": {"model_name": "PP-OCRv4_mobile_det"},
    "PreProcess": {
        "transform_ops": [
            {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
            {"DetLabelEncode": None},
            {"DetResizeForTest": {"resize_long": 960}},
            {
                "NormalizeImage": {
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                    "scale": "1./255.",
                    "order": "hwc",
                }
            },
            {"ToCHWImage": None},
        ]
    },
    "PostProcess": {"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5},
}

ORIENTATION: Mapping[str, Any] = {
    "Global": {"model_name": "tiny_cls"},
    "PreProcess": {"transform_ops": [{"RecResizeImg": {"image_shape": [3, 48, 192]}}]},
    "PostProcess": {"Topk": {"topk": 1, "label_list": ["0_degree", "180_degree"]}},
}

NORMALIZE: Mapping[str, Any] = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2], "scale": 1 / 255}

FEATURE: Mapping[str, Any] = {
    "Global": {"model_name": "PP-ShiTuV2_rec"},
    "PreProcess": {
        "transform_ops": [
            {"ResizeImage": {"size": [32, 24], "return_numpy": False}},
            {"NormalizeImage": {**NORMALIZE, "order": "", "channel_num": 3}},
            {"ToCHWImage": None},
        ]
    },
    "PostProcess": {"NormalizeFeatures": None},
}

CLASSIFICATION: Mapping[str, Any] = {
    "Global": {"model_name": "PP-LCNet_x1_0"},
    "PreProcess": {
        "transform_ops": [
            {"ResizeImage": {"resize_short": 32}},
            {"CropImage": {"size": 28}},
            {"NormalizeImage": {**NORMALIZE, "order": "", "channel_num": 3}},
            {"ToCHWImage": None},
        ]
    },
    "PostProcess": {"Topk": {"topk": 2, "label_list": ["cat", "dog", "bird"]}},
}

OBJECTS: Mapping[str, Any] = {
    "Global": {"model_name": "PicoDet_LCNet_x2_5_face"},
    "Preprocess": [
        {"type": "Resize", "target_size": [40, 60], "keep_ratio": False, "interp": 1},
        {"type": "NormalizeImage", "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2], "is_scale": True},
        {"type": "Permute"},
    ],
    "label_list": ["face", "hand"],
    "draw_threshold": 0.5,
}

MakeDirectory = Callable[..., Path]


@pytest.fixture
def make_directory(tmp_path: Path) -> MakeDirectory:
    """Write a model directory: a config (or its text) and files of a few bytes."""

    def make(config: Mapping[str, Any] | str, *files: str, name: str = "model") -> Path:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), allow_unicode=True)
        (path / "inference.yml").write_text(text, encoding="utf-8")
        for file in files:
            (path / file).write_bytes(file.encode())
        return path

    return make
