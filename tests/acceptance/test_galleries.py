"""Galleries as tasks: an outcome for every image, repeats that change nothing, a worker killed in between."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paddlewheel import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    EMBED_FACES,
    EXPORT_GALLERY,
    IDENTIFY_FACES,
    IMPORT_GALLERY,
    REMOVE_GALLERY,
    SEARCH_GALLERY,
    AppendGallery,
    BuildGallery,
    Client,
    DeleteGallery,
    DescribeGallery,
    ExportGallery,
    ImportGallery,
    LabelledImage,
    RemoveGallery,
    SearchGallery,
    append_gallery,
    build_gallery,
    labelled_images,
)
from paddlewheel.errors import (
    DimensionMismatch,
    DuplicateImage,
    FamilyNotServed,
    GalleryExists,
    GalleryFolderInvalid,
    GalleryNotFound,
    ImageCorrupt,
    ModelMismatch,
    NoFace,
    OperationMismatch,
    SeveralFaces,
    VectorInvalid,
)
from tests.acceptance.conftest import PICTURES_ALONE, ROOT, running_service
from tests.data.people import BIDEN, COLLINS, OBAMA, jpeg, load_photograph, portraits, side_by_side

FACES_ALONE = {
    **PICTURES_ALONE,
    "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_CLASSIFICATION_MODELS": "none",
}


def describe(client: Client, gallery: str) -> Any:
    return client.enqueue(DESCRIBE_GALLERY, DescribeGallery(gallery=gallery)).result(120)


def pair() -> bytes:
    """Two people in one picture, the second of them larger."""
    return jpeg(
        side_by_side(load_photograph(portraits(BIDEN)[0], 300), load_photograph(portraits(OBAMA)[1], 500))
    )


def test_every_image_has_its_outcome_and_none_fails_the_others(eyes: Client) -> None:
    obama, biden = portraits(OBAMA)[0], portraits(BIDEN)[0]
    plain = jpeg(Image.new("RGB", (320, 240), "olive"))
    images: list[Any] = [
        (obama, OBAMA),
        (plain, "nobody"),
        (pair(), "both"),
        (obama.read_bytes()[:3000], "damaged"),
        (obama, OBAMA),
        (obama, "the president"),
        (ROOT / "no such file.jpg", "missing"),
        (biden, BIDEN),
    ]
    report = build_gallery(eyes, "outcomes", images, kind="faces")
    assert [outcome.status for outcome in report.outcomes] == [
        "indexed",
        "no_face",
        "several_faces",
        "unreadable",
        "duplicate",
        "indexed",
        "unreadable",
        "indexed",
    ]
    errors = [type(outcome.exception) for outcome in report.outcomes if outcome.error]
    assert errors[:4] == [NoFace, SeveralFaces, ImageCorrupt, DuplicateImage]
    assert sorted(report.id_map.values()) == sorted([OBAMA, "the president", BIDEN])
    assert describe(eyes, "outcomes").vectors == 3
    again = append_gallery(eyes, "outcomes", [(obama, OBAMA), (biden, "Joe")])
    assert [outcome.status for outcome in again.outcomes] == ["duplicate", "indexed"]


@pytest.mark.parametrize(("policy", "faces"), [("largest", 1), ("all", 2)])
def test_of_several_faces_the_largest_or_all_can_be_taken(eyes: Client, policy: Any, faces: int) -> None:
    key = f"several-{policy}"
    report = build_gallery(eyes, key, [(pair(), "pair")], kind="faces", several_faces=policy)
    assert len(report.outcomes[0].ids) == faces == describe(eyes, key).vectors
    (found,) = eyes.enqueue(IDENTIFY_FACES, portraits(OBAMA)[1], gallery=key).result(120).faces
    assert found.rec_results[0].id == report.outcomes[0].ids[0]  # the largest face is the first


def test_an_operation_that_is_repeated_answers_what_it_answered(eyes: Client) -> None:
    ref = eyes.put(portraits(OBAMA)[0])
    items = (LabelledImage(image=ref, label=OBAMA), LabelledImage(image=eyes.put(b"no image"), label="?"))
    made = BuildGallery(gallery="repeats", kind="faces", items=items, operation_id="load")
    first = eyes.enqueue(BUILD_GALLERY, made).result(120)
    again = eyes.enqueue(BUILD_GALLERY, made).result(120)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.outcomes == first.outcomes
    assert [outcome.status for outcome in again.outcomes] == ["indexed", "unreadable"]
    other = (LabelledImage(image=eyes.put(portraits(BIDEN)[0]), label=BIDEN),)
    added = AppendGallery(gallery="repeats", items=other, operation_id="load/1")
    ids = {eyes.enqueue(APPEND_GALLERY, added).result(120).outcomes[0].ids for _ in range(3)}
    assert len(ids) == 1
    with pytest.raises(OperationMismatch):
        eyes.enqueue(APPEND_GALLERY, added.model_copy(update={"items": items})).result(120)
    assert describe(eyes, "repeats").vectors == 2


def test_a_folder_comes_in_as_paddlexs_users_have_it(eyes: Client, tmp_path: Path) -> None:
    for person in (OBAMA, BIDEN):
        folder = tmp_path / "images" / person
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(portraits(person)[0].read_bytes())
    lines = [f"images/{person}/1.jpg {person}" for person in (OBAMA, BIDEN)]
    (tmp_path / "gallery.txt").write_text("\n".join(lines))
    images = labelled_images(tmp_path, tmp_path / "gallery.txt")
    report = build_gallery(eyes, "folder", images, kind="faces", metric="L2", index_type="HNSW32")
    assert sorted(report.id_map.values()) == [OBAMA, BIDEN]
    found = describe(eyes, "folder")
    assert (found.kind, found.model, found.dimension) == ("faces", "DlibFaceResNet", 128)
    assert (found.metric, found.index_type, found.vectors) == ("L2", "HNSW32", 2)


def test_a_removed_person_is_not_found_and_the_receipt_says_so(eyes: Client) -> None:
    images = [(portraits(person)[0], person) for person in (OBAMA, BIDEN)]
    report = build_gallery(eyes, "removal", images, kind="faces")
    (biden,) = report.outcomes[1].ids
    request = RemoveGallery(gallery="removal", labels=(BIDEN,), operation_id="leaver-1")
    receipt = eyes.enqueue(REMOVE_GALLERY, request).result(120)
    assert receipt.ids == (biden,)
    assert receipt.verified_at is not None
    assert receipt.removed_at < receipt.purge_by
    assert eyes.enqueue(REMOVE_GALLERY, request).result(120).ids == (biden,)
    (face,) = eyes.enqueue(IDENTIFY_FACES, portraits(BIDEN)[0], gallery="removal").result(120).faces
    assert face.rec_results == ()
    (face,) = eyes.enqueue(IDENTIFY_FACES, portraits(OBAMA)[1], gallery="removal").result(120).faces
    assert face.label == OBAMA


def test_a_gallery_goes_out_as_paddlexs_folder_and_comes_back(eyes: Client) -> None:
    images = [(portraits(person)[0], person) for person in (OBAMA, BIDEN)]
    build_gallery(eyes, "export", images, kind="faces")
    request = ExportGallery(gallery="export", operation_id="nightly")
    out = eyes.enqueue(EXPORT_GALLERY, request).result(120)
    assert (out.folder, out.vectors) == ("export-nightly", 2)
    assert eyes.enqueue(EXPORT_GALLERY, request).result(120).vectors is None
    back = ImportGallery(gallery="import", folder=out.folder, kind="faces", operation_id="load")
    assert eyes.enqueue(IMPORT_GALLERY, back).result(120).vectors == 2
    assert eyes.enqueue(IMPORT_GALLERY, back).result(120).vectors == 2
    (face,) = eyes.enqueue(IDENTIFY_FACES, portraits(OBAMA)[1], gallery="import").result(120).faces
    assert face.label == OBAMA
    assert append_gallery(eyes, "import", [(portraits(COLLINS)[0], COLLINS)]).counts == {"indexed": 1}


def test_features_that_one_has_are_searched(eyes: Client) -> None:
    build_gallery(eyes, "features", [(portraits(OBAMA)[0], OBAMA)], kind="faces")
    (face,) = eyes.enqueue(EMBED_FACES, portraits(OBAMA)[0]).result(120).faces
    request = SearchGallery(gallery="features", features=(face.feature,), model="DlibFaceResNet")
    ((match,),) = eyes.enqueue(SEARCH_GALLERY, request).result(120).rec_results
    assert (match.label, round(match.score, 2)) == (OBAMA, 1.0)
    for features, error in (((1.0,) * 3, DimensionMismatch), ((0.0,) * 128, VectorInvalid)):
        with pytest.raises(error):
            eyes.enqueue(SEARCH_GALLERY, SearchGallery(gallery="features", features=(features,))).result(120)
    with pytest.raises(ModelMismatch):
        eyes.enqueue(SEARCH_GALLERY, request.model_copy(update={"model": "Other"})).result(120)


def test_what_cannot_be_done_is_a_typed_error(eyes: Client) -> None:
    build_gallery(eyes, "errors", [], kind="images")
    with pytest.raises(GalleryExists):
        build_gallery(eyes, "errors", [], kind="images")
    with pytest.raises(ModelMismatch, match="gallery of images"):
        eyes.enqueue(IDENTIFY_FACES, portraits(OBAMA)[0], gallery="errors").result(120)
    with pytest.raises(GalleryNotFound):
        append_gallery(eyes, "no-gallery", [(portraits(OBAMA)[0], OBAMA)])
    with pytest.raises(GalleryFolderInvalid):
        eyes.enqueue(IMPORT_GALLERY, ImportGallery(gallery="new", folder="no-folder")).result(120)
    assert eyes.enqueue(DELETE_GALLERY, DeleteGallery(gallery="errors")).result(120).existed
    assert not eyes.enqueue(DELETE_GALLERY, DeleteGallery(gallery="errors")).result(120).existed


def test_a_worker_without_the_models_or_the_database_says_so(client: Client) -> None:
    with pytest.raises(FamilyNotServed, match="face detection"):
        client.enqueue(EMBED_FACES, b"any").result(120)
    with pytest.raises(FamilyNotServed, match="PADDLEWHEEL_DATABASE_URL"):
        describe(client, "any")


def test_a_gallery_lives_through_the_death_of_a_worker() -> None:
    """Two client processes build, add to and remove from one gallery; one of two workers is killed."""
    settings = {"PADDLEWHEEL_VISIBILITY_TIMEOUT": "4"}
    with (
        running_service(workers=2, families=FACES_ALONE, galleries=True, **settings) as service,
        Client(service.url) as client,
    ):
        builder = other_client(service.url, 0, 40, "build")
        appender = other_client(service.url, 100, 20, "append")
        assert builder.stdout is not None
        progress = json.loads(builder.stdout.readline())
        assert progress["done"] < progress["total"]
        victim, _ = service.workers()
        victim.kill()
        added: dict[int, str] = {}
        removed: set[int] = set()
        for process, expected in ((builder, 40), (appender, 20)):
            out, _ = process.communicate(timeout=300)
            assert process.returncode == 0
            summary = json.loads(out.splitlines()[-1])
            assert summary["counts"] == {"indexed": expected}
            added |= {int(number): label for number, label in summary["id_map"].items()}
            removed |= set(summary["removed"])
        assert len(added) == 60
        assert len(removed) == 12
        assert removed < set(added)
        # All that is live answers to a search without a threshold.
        pending = client.enqueue(
            IDENTIFY_FACES, portraits(OBAMA)[1], gallery="people", top_k=1000, threshold=-1
        )
        (face,) = pending.result(120).faces
        found = {match.id: match.label for match in face.rec_results}
        assert found == {number: label for number, label in added.items() if number not in removed}
        assert len(face.rec_results) == describe(client, "people").vectors == 48


def other_client(url: str, first: int, count: int, mode: str) -> "subprocess.Popen[str]":
    arguments = [url, "people", str(first), str(count), mode]
    command = [sys.executable, "-m", "tests.acceptance.gallery_client", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
