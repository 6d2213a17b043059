"""Whole pictures through the real queue: classes, features, and pictures that are alike."""

import math
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from paddlewheel import CLASSIFY_IMAGE, EXTRACT_FEATURE, SEARCH_IMAGE, Client, build_gallery
from paddlewheel.errors import ImageCorrupt, ModelMismatch, ModelUnknown
from tests.data.people import jpeg


def picture(name: str) -> Image.Image:
    """One of scikit-image's photographs, those that its package brings along."""
    return Image.fromarray(getattr(data, name)()).convert("RGB")


def test_a_photograph_is_classified_with_easyvisions_names(eyes: Client, tmp_path: Path) -> None:
    result = eyes.enqueue(CLASSIFY_IMAGE, jpeg(picture("chelsea"))).result(120)
    res = result.json["res"]
    assert res["class"] in range(281, 286)  # ImageNet's domestic cats
    assert "cat" in res["class_name"]
    assert next(iter(res["class_probs"])) == res["class_name"]
    assert len(res["class_probs"]) == 5
    result.save_to_img(tmp_path / "cat.png", image=picture("chelsea"))
    with Image.open(tmp_path / "cat.png") as drawn:
        assert drawn.height > picture("chelsea").height


def test_all_probabilities_can_be_asked_for(eyes: Client) -> None:
    result = eyes.enqueue(CLASSIFY_IMAGE, jpeg(picture("coffee")), top_k=100_000).result(120)
    assert len(result.class_probs) == 1000
    assert sum(result.class_probs.values()) == pytest.approx(1, abs=1e-3)
    assert max(result.class_probs, key=lambda name: result.class_probs[name]) == result.class_name


def test_a_feature_does_not_depend_on_its_neighbours_in_the_batch(eyes: Client) -> None:
    images = [jpeg(picture(name)) for name in ("chelsea", "coffee", "astronaut", "rocket")]
    alone = [eyes.enqueue(EXTRACT_FEATURE, image).result(120) for image in images]
    together = [pending.result(120) for pending in eyes.enqueue_many(EXTRACT_FEATURE, images * 4)]
    for number, result in enumerate(together):
        assert result.dimension == len(result.feature) == 1280
        assert math.hypot(*result.feature) == pytest.approx(1, abs=1e-4)
        assert max(abs(a - b) for a, b in zip(result.feature, alone[number % 4].feature, strict=True)) < 1e-4


def test_a_picture_is_found_by_a_smaller_copy(eyes: Client, tmp_path: Path) -> None:
    names = ("chelsea", "coffee", "astronaut", "rocket")
    images = [(jpeg(picture(name)), name) for name in names]
    build_gallery(eyes, "photos", images, kind="images")
    for name in names:
        small = picture(name).resize((200, 150))
        result = eyes.enqueue(SEARCH_IMAGE, jpeg(small, 80), gallery="photos", top_k=2, details=True).result(
            120
        )
        best, second = result.rec_results
        assert best.label == name
        assert best.score > second.score
        assert (best.external_id or "").startswith("sha256:")
    drawn = result.save_to_img(tmp_path)
    assert drawn.is_file()


def test_a_gallery_of_pictures_knows_no_faces_and_no_other_model(eyes: Client) -> None:
    build_gallery(eyes, "one-photo", [(jpeg(picture("coffee")), "coffee")], kind="images")
    with pytest.raises(ModelMismatch, match="asked for"):
        eyes.enqueue(SEARCH_IMAGE, jpeg(picture("coffee")), gallery="one-photo", model="Other").result(120)


@pytest.mark.parametrize("spec", [EXTRACT_FEATURE, CLASSIFY_IMAGE], ids=lambda spec: spec.name)
def test_what_cannot_be_done_is_a_typed_error(eyes: Client, spec: object) -> None:
    task: object = spec
    with pytest.raises(ImageCorrupt):
        eyes.enqueue(task, jpeg(picture("coffee"))[:500]).result(120)  # type: ignore[arg-type]
    with pytest.raises(ModelUnknown):
        eyes.enqueue(task, jpeg(picture("coffee")), model="NoSuchModel").result(120)  # type: ignore[arg-type]
