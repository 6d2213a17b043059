"""Results of faces, pictures and galleries: their JSON names, what they answer, and how they are drawn."""

import io
import json

import pytest
from pydantic import ValidationError

from paddlewheel import (
    BuildGallery,
    ClassifiedImage,
    DetectedFaces,
    ExtractedFeature,
    FoundVectors,
    IdentifiedFaces,
    ImageRef,
    ImportGallery,
    LabelledImage,
    Match,
    RemoveGallery,
    SearchGallery,
    SimilarImages,
)
from paddlewheel.contracts.base import Outcome, Outcomes
from paddlewheel.contracts.faces import DetectedFace, IdentifiedFace
from paddlewheel.contracts.galleries import MAX_ITEMS
from paddlewheel.errors import UnsupportedSource
from paddlewheel.wire.messages import describe

REF = ImageRef(blob="sha256:" + "0" * 64)
ANN = Match(label="安妮 Ann", score=0.97, id=7)
KNOWN = IdentifiedFace(
    bbox=(20, 30, 80, 110),
    score=0.9,
    landmarks=((35, 55), (65, 55), (50, 70), (38, 90), (62, 90)),
    rec_results=(ANN, Match(label="Bob", score=0.5, id=8)),
)
STRANGER = IdentifiedFace(bbox=(150, 0, 199, 60), score=0.8, rec_results=())
GROUP = IdentifiedFaces(
    input_path="group.png", width=200, height=120, gallery="staff", faces=(KNOWN, STRANGER)
)
CAT = ClassifiedImage(
    class_id=281, class_name="tabby, tabby cat", class_probs={"tabby, tabby cat": 0.5, "fox": 0.25}
)


def test_faces_have_paddlexs_names_on_the_wire_and_back() -> None:
    wire = GROUP.model_dump(mode="json")
    assert wire["faces"][0]["recResults"][0] == {
        "label": "安妮 Ann",
        "score": 0.97,
        "id": 7,
        "external_id": None,
    }
    assert IdentifiedFaces.model_validate(json.loads(json.dumps(wire))) == GROUP
    many = Outcomes[IdentifiedFaces](items=(Outcome(result=GROUP),))
    assert Outcomes[IdentifiedFaces].model_validate(many.model_dump(mode="json")) == many
    assert set(GROUP.json["res"]["faces"][0]) == {"bbox", "score", "landmarks", "recResults"}


def test_a_class_has_easyvisions_names_on_the_wire_and_back() -> None:
    wire = CAT.model_dump(mode="json")
    assert wire["class"] == 281
    assert "class_id" not in wire
    assert ClassifiedImage.model_validate(wire) == CAT


def test_matches_have_paddlexs_name() -> None:
    similar = SimilarImages(gallery="g", rec_results=(ANN,))
    assert similar.json["res"]["recResults"][0]["label"] == "安妮 Ann"
    found = FoundVectors(gallery="g", rec_results=((ANN,), ()))
    assert FoundVectors.model_validate(found.model_dump(mode="json")) == found


def test_a_face_is_called_by_its_best_match() -> None:
    assert (KNOWN.label, KNOWN.caption) == ("安妮 Ann", "安妮 Ann 0.97")
    assert (STRANGER.label, STRANGER.caption) == (None, "? 0.80")
    assert DetectedFace(bbox=(0, 0, 1, 1), score=0.5).caption == "0.50"


def test_a_result_of_an_older_worker_may_lack_what_is_optional() -> None:
    faces = DetectedFaces.model_validate(
        {"width": 1, "height": 1, "faces": [{"bbox": [0, 0, 1, 1], "score": 1}]}
    )
    assert faces.faces[0].landmarks is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ids": (1,), "labels": ("a",)},
        {"ids": (1,), "unknown": 1},
    ],
)
def test_a_removal_names_exactly_one_list(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RemoveGallery.model_validate({"gallery": "g", **fields})


@pytest.mark.parametrize("folder", ["", "..", ".hidden", "a/b", "/etc", "a\\b", "x" * 300])
def test_a_folder_is_a_name_and_never_a_path(folder: str) -> None:
    with pytest.raises(ValidationError):
        ImportGallery(gallery="g", folder=folder)


def test_a_model_that_a_folder_is_bound_to_needs_its_kind() -> None:
    with pytest.raises(ValidationError, match="kind"):
        ImportGallery(gallery="g", folder="f", model="m")


def test_steps_are_small() -> None:
    item = LabelledImage(image=REF, label="a")
    BuildGallery(gallery="g", kind="faces", items=(item,) * MAX_ITEMS)
    with pytest.raises(ValidationError):
        BuildGallery(gallery="g", kind="faces", items=(item,) * (MAX_ITEMS + 1))
    with pytest.raises(ValidationError):
        SearchGallery(gallery="g", features=((0.0,),) * 65)


def test_an_image_is_itself_unless_it_has_another_id() -> None:
    assert LabelledImage(image=REF, label="a").identity == REF.blob
    assert LabelledImage(image=REF, label="a", external_id="mine").identity == "mine"


def test_names_of_people_are_not_shown_to_operators() -> None:
    item = {"image": {"blob": REF.blob, "input_path": "7.jpg"}, "label": "Ann Lee", "external_id": "id 7"}
    shown = describe({"gallery": "staff", "items": [item]})
    assert "staff" in shown
    assert "7.jpg" in shown
    assert "Ann" not in shown
    assert "id 7" not in shown
    assert "Ann" not in describe({"gallery": "staff", "labels": ["Ann Lee"]})
    assert len(describe({"gallery": "g" * 150, "items": [item]})) <= 160


def picture(width: int, height: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (width, height), "#808080").save(buffer, "PNG")
    return buffer.getvalue()


def test_faces_are_drawn_with_a_box_and_a_name_in_any_script() -> None:
    pytest.importorskip("manimgx_fonts_cjk")
    drawn = GROUP.draw(picture(200, 120))
    scale = drawn.width / 200
    assert scale == pytest.approx(drawn.height / 120, rel=0.01)
    grey = (128, 128, 128)
    assert drawn.getpixel((round(100 * scale), round(100 * scale))) == grey
    edge = drawn.getpixel((round(20 * scale), round(80 * scale)))
    other = drawn.getpixel((round(150 * scale), round(45 * scale)))
    assert edge != grey
    assert other != grey
    assert edge != other
    caption = drawn.crop(
        (round(20 * scale), round(30 * scale) - 20, round(80 * scale), round(30 * scale) - 4)
    )
    assert (255, 255, 255) in {colour for _, colour in caption.getcolors(1 << 16) or ()}


def test_another_picture_is_refused() -> None:
    with pytest.raises(UnsupportedSource, match="another picture"):
        GROUP.draw(picture(100, 120))


def test_classes_and_matches_are_written_below_the_picture() -> None:
    pytest.importorskip("manimgx_fonts_cjk")
    for result in (
        CAT,
        SimilarImages(gallery="g", rec_results=(ANN,)),
        SimilarImages(gallery="g", rec_results=()),
    ):
        drawn = result.draw(picture(400, 300))
        assert drawn.width >= 400
        below = drawn.crop((0, 305, drawn.width, drawn.height)).convert("L")
        assert min(below.tobytes()) < 60
        assert max(below.tobytes()) == 255


def test_a_feature_cannot_be_drawn() -> None:
    with pytest.raises(UnsupportedSource, match="JSON"):
        ExtractedFeature(feature=(1.0,), dimension=1, model="m").draw(picture(10, 10))
