"""The table of official models: complete, and as its documents have it."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from workers.models.home.cards import ModelCard, model_cards
from workers.models.home.catalog import CATALOG
from workers.models.home.directory import ModelFamily
from workers.models.home.official import OfficialCatalog, OfficialModel, official_catalog
from workers.services.thresholds import default_thresholds

MODELS = {model.name: model for model in official_catalog().models}
DOCS = Path(__file__).parents[3] / "docs"
GUIDE = (DOCS / "how-to" / "use-your-own-model.md").read_text("utf-8")
REFERENCE = (DOCS / "reference" / "models.md").read_text("utf-8")


def figures(name: str) -> dict[str, tuple[object, ...]]:
    return {
        each.environment: (*each.accuracy.values(), each.gpu_ms, each.cpu_ms, each.size_mb)
        for each in MODELS[name].figures
    }


def test_every_text_recognizer_of_both_texts_is_there() -> None:
    third = ["", "en", "korean", "japan", "chinese_cht", "te", "ka", "ta", "latin", "arabic", "cyrillic"]
    names = [
        *(f"{script}_PP-OCRv3_mobile_rec".lstrip("_") for script in [*third, "devanagari"]),
        *("PP-OCRv4_mobile_rec", "PP-OCRv4_server_rec", "PP-OCRv4_server_rec_doc", "en_PP-OCRv4_mobile_rec"),
        *("PP-OCRv5_server_rec", "PP-OCRv5_mobile_rec", "ch_SVTRv2_rec", "ch_RepSVTR_rec"),
        *(f"{script}_PP-OCRv5_mobile_rec" for script in ("en", "korean", "latin")),
    ]
    assert len(names) == 23
    assert {MODELS[name].family for name in names} == {"text_recognition"}


def test_the_figures_of_two_documents_stand_beside_each_other() -> None:
    assert figures("PP-OCRv4_server_rec") == {
        "paddleocr-text": (85.19, (8.75, 2.49), (36.93, 36.93), 173),
        "paddlex-text": (79.20, (7.19439,), (140.179,), 71.2),
    }
    assert figures("ch_RepSVTR_rec") == {
        "paddleocr-text": (65.07, (6.29, 1.57), (20.64, 5.40), 48.8),
        "paddlex-text": (65.07, (10.5047,), (51.5647,), 22.1),
    }
    assert figures("en_PP-OCRv5_mobile_rec") == {"paddleocr-text": (85.25, None, None, 7.5)}


def test_faces_and_features_are_as_published() -> None:
    assert figures("PP-ShiTuV2_rec") == {"paddlex-image-feature": (84.2, (3.48, 0.55), (8.04, 4.04), 16.3)}
    assert figures("PP-YOLOE_plus-S_face") == {
        "paddlex-face-detection": (93.9, 91.8, 79.8, (25.8,), (159.9,), 26.5)
    }
    assert figures("ResNet50_face") == {"paddlex-face-feature": (98.12, 98.56, 99.77, (8.7,), (200.7,), 87.2)}
    assert [MODELS[name].dimension for name in ("PP-ShiTuV2_rec", "MobileFaceNet", "ResNet50_face")] == [
        512,
        128,
        512,
    ]


def test_addresses_follow_paddlex() -> None:
    host = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model"
    assert MODELS["BlazeFace-FPN-SSH"].archive_urls() == (
        f"{host}/paddle3.0.0/BlazeFace-FPN-SSH_infer.tar",
        f"{host}/paddle3.0b2/BlazeFace-FPN-SSH_infer.tar",
    )
    assert MODELS["PP-OCRv5_server_rec"].archive_urls("http://mirror/") == (
        "http://mirror/paddle3.0.0/PP-OCRv5_server_rec_infer.tar",
    )


def test_the_default_models_are_described_too() -> None:
    packaged = official_catalog().packaged
    assert set(packaged) == set(CATALOG) - set(MODELS)
    assert packaged["DlibFaceResNet"].dimension == 128
    assert packaged["EfficientNet-Lite0_feature"].dimension == 1280
    measured = packaged["DlibFaceResNet"].thresholds["rec_threshold"]
    assert default_thresholds(["DlibFaceResNet"]) == {"DlibFaceResNet": measured}


def test_one_list_has_every_name_and_packages_come_first() -> None:
    cards = model_cards()
    assert set(cards) == {*CATALOG, *MODELS}
    assert all(cards[name].package == entry.package for name, entry in CATALOG.items())
    assert {card.family for card in cards.values()} <= set(get_args(ModelFamily))
    both = set(CATALOG) & set(MODELS)
    assert both
    assert all(CATALOG[name].family == MODELS[name].family for name in both)


@pytest.mark.parametrize(
    "fault", [{"environment": "nowhere"}, {"accuracy": {"luck": 1}}, {"gpu_ms": [1, 2, 3]}, {"size": 1}]
)
def test_a_wrong_entry_is_refused(fault: dict[str, object]) -> None:
    table = official_catalog().model_dump()
    table["models"][0]["figures"] = [{**table["models"][0]["figures"][0], **fault}]
    with pytest.raises(ValueError, match="validation error"):
        OfficialCatalog.model_validate(table)


def test_a_model_is_there_once() -> None:
    table = official_catalog().model_dump()
    table["models"] = [*table["models"], table["models"][0]]
    with pytest.raises(ValueError, match="twice"):
        OfficialCatalog.model_validate(table)


def described(model: OfficialModel) -> str:
    """A model's line in the guide."""
    what = ", ".join(model.languages) or model.finds or ""
    shape = "x".join(map(str, model.input)) if model.input else ""
    hub = "archive, hub" if model.on_hub else "archive"
    return f"| `{model.name}` | {what} | {shape} | {model.dimension or ''} | {hub} |"


def packaged(card: ModelCard) -> str:
    """A default model's line in the guide."""
    shape = "x".join(map(str, card.facts.input)) if card.facts.input else ""
    return (
        f"| `{card.name}` | {card.family} | {shape} | {card.facts.dimension or ''} | `{card.package}` "
        f"| {card.licence} |"
    )


def published(model: OfficialModel) -> Iterator[str]:
    """Its figures' lines: a line for each document."""
    for each in model.figures:
        accuracy = " / ".join(f"{value:g}" for value in each.accuracy.values())
        gpu, cpu = (" / ".join(f"{ms:g}" for ms in times or ()) for times in (each.gpu_ms, each.cpu_ms))
        metrics = ", ".join(each.accuracy)
        yield (
            f"| `{model.name}` | {each.environment} | {accuracy} | {metrics} | {gpu} | {cpu} "
            f"| {each.size_mb:g} |"
        )


def test_the_guide_has_every_model_as_the_tables_have_it() -> None:
    lines = [*REFERENCE.splitlines(), *GUIDE.splitlines()]
    models = [
        model for family in get_args(ModelFamily) for model in MODELS.values() if model.family == family
    ]
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 6] == [
        described(model) for model in models
    ]
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 8] == [
        line for model in models for line in published(model)
    ]
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 7] == [
        packaged(model_cards()[name]) for name in CATALOG
    ]


def test_the_guide_explains_every_document_and_metric() -> None:
    for key, each in official_catalog().environments.items():
        assert f"| {key} | {each.document} | {each.gpu} | {each.cpu} | {each.software} |" in REFERENCE
    for key, metric in official_catalog().metrics.items():
        assert f"- {key}: {metric}" in REFERENCE
