"""Faces of real people through the real queue: found, embedded, identified."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from paddlewheel import DETECT_FACES, EMBED_FACES, IDENTIFY_FACES, Client, build_gallery
from paddlewheel.cli import main
from paddlewheel.errors import GalleryNotFound, ImageCorrupt, ModelUnknown
from tests.acceptance.conftest import Service
from tests.data.people import BIDEN, COLLINS, OBAMA, jpeg, load_photograph, portraits, side_by_side


@pytest.fixture(scope="module")
def staff(seeing: Service) -> Iterator[str]:
    """A gallery of the first photograph of two people; the third is a stranger."""
    with Client(seeing.url) as client:
        images = [(portraits(person)[0], person) for person in (OBAMA, BIDEN)]
        report = build_gallery(client, "staff", images, kind="faces")
        assert report.counts == {"indexed": 2}
        yield "staff"


@pytest.fixture(scope="module")
def group() -> Image.Image:
    """A stranger, and two that are known, in other photographs or another size than the gallery's."""
    return side_by_side(
        load_photograph(portraits(COLLINS)[0], 512),
        load_photograph(portraits(OBAMA)[1], 480),
        load_photograph(portraits(BIDEN)[0], 500),
    )


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_each_face_has_its_box_its_score_and_five_points_in_it(eyes: Client, group: Image.Image) -> None:
    found = eyes.enqueue(DETECT_FACES, jpeg(group)).result(120)
    assert (found.width, found.height) == group.size
    assert len(found.faces) == 3
    for face in found.faces:
        left, top, right, bottom = face.bbox
        assert face.score > 0.5
        assert face.landmarks is not None
        assert len(face.landmarks) == 5
        assert all(left < x < right and top < y < bottom for x, y in face.landmarks)
    areas = [(f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1]) for f in found.faces]
    assert areas == sorted(areas, reverse=True)


def test_a_picture_without_a_face_has_none(eyes: Client) -> None:
    plain = jpeg(Image.new("RGB", (320, 240), "olive"))
    assert eyes.enqueue(DETECT_FACES, plain).result(120).faces == ()
    assert eyes.enqueue(EMBED_FACES, plain).result(120).faces == ()


def test_embeddings_of_one_person_are_near_each_other_and_of_two_are_not(eyes: Client) -> None:
    paths = [*portraits(OBAMA)[:2], portraits(BIDEN)[0]]
    results = [pending.result(120) for pending in eyes.enqueue_many(EMBED_FACES, paths)]
    first, second, other = (result.faces[0].feature for result in results)
    assert math.hypot(*first) == pytest.approx(1, abs=1e-4)
    assert cosine(first, second) > 0.914 > cosine(first, other)


def test_the_known_are_named_in_a_group_and_the_stranger_is_not(
    eyes: Client, staff: str, group: Image.Image
) -> None:
    result = eyes.enqueue(IDENTIFY_FACES, jpeg(group), gallery=staff).result(120)
    from_the_left = sorted(result.faces, key=lambda face: face.bbox[0])
    assert [face.label for face in from_the_left] == [None, OBAMA, BIDEN]
    assert from_the_left[2].rec_results[0].score > 0.95


def test_a_threshold_and_top_k_are_the_callers(eyes: Client, staff: str) -> None:
    stranger = portraits(COLLINS)[0]
    (face,) = eyes.enqueue(IDENTIFY_FACES, stranger, gallery=staff, threshold=-1).result(120).faces
    assert {match.label for match in face.rec_results} == {OBAMA, BIDEN}
    assert face.rec_results[0].score >= face.rec_results[1].score
    (face,) = eyes.enqueue(IDENTIFY_FACES, stranger, gallery=staff, threshold=-1, top_k=1).result(120).faces
    assert len(face.rec_results) == 1


def test_one_of_many_that_cannot_be_read_fails_alone(eyes: Client, staff: str) -> None:
    good = portraits(OBAMA)[1]
    damaged = good.read_bytes()[:2000]
    pendings = eyes.enqueue_many(IDENTIFY_FACES, [good, damaged, good], gallery=staff)
    assert pendings[0].result(120).faces[0].label == OBAMA
    with pytest.raises(ImageCorrupt):
        pendings[1].result(120)
    assert pendings[2].result(120) == pendings[0].result(120).model_copy(
        update={"served": pendings[2].result(120).served}
    )


def test_a_missing_gallery_or_image_is_a_typed_error(eyes: Client) -> None:
    path = portraits(OBAMA)[0]
    with pytest.raises(GalleryNotFound):
        eyes.enqueue(IDENTIFY_FACES, path, gallery="nobody").result(120)
    with pytest.raises(ModelUnknown, match="it has CenterFace"):
        eyes.enqueue(DETECT_FACES, path, model="NoSuchModel").result(120)


def test_the_command_names_people_and_draws_them(
    seeing: Service, staff: str, group: Image.Image, tmp_path: Path
) -> None:
    picture = tmp_path / "group.png"
    group.save(picture)
    arguments = ["faces", "identify", str(picture), "--gallery", staff, "--broker", seeing.url]
    shown = CliRunner().invoke(main, [*arguments, "--json", "--save-img", str(tmp_path / "drawn")])
    assert shown.exit_code == 0, shown.stderr
    faces = json.loads(shown.stdout)["res"]["faces"]
    assert sum(len(face["recResults"]) for face in faces) == 2
    with Image.open(tmp_path / "drawn" / "group_face_res_img.png") as drawn:
        assert drawn.width >= group.width
        assert drawn.resize(group.size).tobytes() != group.tobytes()
