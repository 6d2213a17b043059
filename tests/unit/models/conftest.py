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
