"""The commands on faces, pictures and galleries over an in-memory client."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from paddlewheel import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    CLASSIFY_IMAGE,
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    DETECT_FACES,
    EMBED_FACES,
    EXTRACT_FEATURE,
    IDENTIFY_FACES,
    REMOVE_GALLERY,
    SEARCH_IMAGE,
    AddedImages,
    ClassifiedImage,
    DeletedGallery,
    DetectedFaces,
    EmbeddedFaces,
    ExtractedFeature,
    GalleryDescription,
    IdentifiedFaces,
    ImageOutcome,
    RemovedVectors,
    SimilarImages,
)
from paddlewheel.cli import main
from paddlewheel.contracts.base import ItemError
from paddlewheel.errors import DatabaseUnavailable, GalleryNotFound
from paddlewheel.in_memory import InMemoryClient

Invoke = Callable[..., Result]

FACE = {"bbox": (10.2, 20.0, 40.0, 60.4), "score": 0.9}
ANN = {"label": "Ann Lee", "score": 0.97, "id": 7}
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Server:
    """Answers every task, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.kind: Any = "faces"
        self.error: Exception | None = None
        self.client = InMemoryClient(
            {
                DETECT_FACES: self.to_answer(DetectedFaces(width=100, height=80, faces=(FACE,))),
                EMBED_FACES: self.to_answer(
                    EmbeddedFaces(width=100, height=80, model="m", faces=({**FACE, "feature": (1.0, 0.0)},))
                ),
                IDENTIFY_FACES: self.to_answer(
                    IdentifiedFaces(
                        width=100,
                        height=80,
                        gallery="staff",
                        faces=({**FACE, "recResults": (ANN,)}, {**FACE, "recResults": ()}),
                    )
                ),
                EXTRACT_FEATURE: self.to_answer(ExtractedFeature(feature=(0.6, 0.8), dimension=2, model="m")),
                CLASSIFY_IMAGE: self.to_answer(
                    ClassifiedImage(class_id=3, class_name="cat", class_probs={"cat": 0.75, "dog": 0.125})
                ),
                SEARCH_IMAGE: self.to_answer(SimilarImages(gallery="drinks", rec_results=(ANN,))),
                DESCRIBE_GALLERY: self.describe,
                BUILD_GALLERY: self.add,
                APPEND_GALLERY: self.add,
                REMOVE_GALLERY: self.to_answer(
                    RemovedVectors(
                        gallery="staff",
                        operation_id="o",
                        ids=(7,),
                        removed_at=NOW,
                        verified_at=NOW,
                        purge_by=NOW,
                        purged_at=None,
                    )
                ),
                DELETE_GALLERY: self.to_answer(DeletedGallery(gallery="staff", vectors=3, existed=True)),
            }
        )

    def to_answer(self, answer: Any) -> Callable[[Any], Any]:
        def handler(request: Any) -> Any:
            self.asked.append(request)
            return answer

        return handler

    def describe(self, request: Any) -> GalleryDescription:
        if request.gallery == "nobody":
            raise GalleryNotFound("There is no gallery 'nobody'.")
        return GalleryDescription(
            gallery=request.gallery,
            kind=self.kind,
            model="m",
            model_fingerprint=None,
            dimension=2,
            metric="IP",
            index_type="auto",
            precision="fp16",
            vectors=1,
            unsealed=1,
            tombstones=0,
            segments=0,
            file_bytes=0,
            generation=1,
            created_at=NOW,
        )

    def add(self, request: Any) -> AddedImages:
        self.asked.append(request)
        if self.error:
            raise self.error
        outcomes = []
        for number, item in enumerate(request.items):
            if item.label == "nobody":
                error = ItemError(code="no_face", message="No face was found in the image.")
                name = item.image.input_path
                outcomes.append(
                    ImageOutcome(status="no_face", label=item.label, input_path=name, error=error)
                )
            else:
                outcomes.append(ImageOutcome(status="indexed", label=item.label, ids=(number,)))
        return AddedImages(
            gallery=request.gallery,
            operation_id=request.operation_id,
            generation=1,
            outcomes=tuple(outcomes),
        )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def paddlewheel(server: Server) -> Invoke:
    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(each) for each in arguments], obj=lambda **_: server.client)

    return invoke


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures with their list; the paths are relative."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (Path("photos") / name).write_bytes(name.encode())
    Path("photos/gallery.txt").write_text("a.jpg Ann Lee\nb.jpg nobody\n")
    return Path("photos")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("faces", "detect"), "30x40 at 10,20\t0.900"),
        (("faces", "embed"), "2 floats, 30x40 at 10,20\t0.900"),
        (("features",), "2 floats by m (--json prints them)"),
    ],
)
def test_what_was_found_is_one_line_each(
    paddlewheel: Invoke, photos: Path, command: tuple[str, ...], line: str
) -> None:
    assert paddlewheel(*command, photos / "a.jpg").stdout == f"{line}\n"
    assert paddlewheel(*command, photos).stdout.splitlines() == [
        f"photos/a.jpg\t{line}",
        f"photos/b.jpg\t{line}",
    ]


def test_a_known_face_has_its_label_and_a_stranger_is_unknown(
    server: Server, paddlewheel: Invoke, photos: Path
) -> None:
    shown = paddlewheel(
        "faces", "identify", photos / "a.jpg", "--gallery", "staff", "--threshold", 0.9, "--top-k", 3
    )
    assert shown.stdout.splitlines() == ["Ann Lee, 30x40 at 10,20\t0.970", "unknown, 30x40 at 10,20\t0.900"]
    request = server.asked[-1]
    assert (request.gallery, request.threshold, request.top_k, request.level) == ("staff", 0.9, 3, "vector")


@pytest.mark.parametrize(
    "command",
    [
        ("faces", "detect"),
        ("faces", "embed"),
        ("faces", "identify", "--gallery", "staff"),
        ("features",),
        ("classify",),
        ("gallery", "search", "drinks"),
    ],
)
def test_a_page_of_a_pdf_is_counted_from_1_and_asked_for_from_0(
    server: Server, paddlewheel: Invoke, photos: Path, command: tuple[str, ...]
) -> None:
    (photos / "scans.pdf").write_bytes(b"%PDF-")
    assert paddlewheel(*command, photos / "scans.pdf", "--page", 3).exit_code == 0
    assert server.asked[-1].page_index == 2
    assert paddlewheel(*command, photos).exit_code == 0
    assert [each.page_index for each in server.asked[-2:]] == [0, 0]
    assert len(server.asked) == 3, "the PDF of a folder is left out unless a page is named"
    assert paddlewheel(*command, photos, "--page", 1).exit_code == 0
    assert len(server.asked) == 6
    assert paddlewheel(*command, photos, "--page", 0).exit_code == 2


def test_classes_are_listed_with_their_probabilities(
    server: Server, paddlewheel: Invoke, photos: Path
) -> None:
    shown = paddlewheel("classify", photos / "a.jpg", "--top-k", 2)
    assert shown.stdout == "cat\t0.750\ndog\t0.125\n"
    assert server.asked[-1].top_k == 2
    table = paddlewheel("classify", photos / "a.jpg", "--table").stdout
    assert ["photos/a.jpg", "cat", "0.750"] in [line.split() for line in table.splitlines()]


def test_json_has_the_names_that_paddlex_and_easyvision_have(paddlewheel: Invoke, photos: Path) -> None:
    identified = json.loads(
        paddlewheel("faces", "identify", photos / "a.jpg", "--gallery", "s", "--json").stdout
    )
    (known, stranger) = identified["res"]["faces"]
    assert set(known) == {"bbox", "score", "landmarks", "recResults"}
    assert known["recResults"] == [{**ANN, "external_id": None}]
    assert stranger["recResults"] == []
    classified = json.loads(paddlewheel("classify", photos / "a.jpg", "--json").stdout)
    assert classified["res"]["class"] == 3
    assert classified["res"]["class_name"] == "cat"
    assert classified["res"]["class_probs"] == {"cat": 0.75, "dog": 0.125}


def test_results_are_saved_beside_each_other(paddlewheel: Invoke, photos: Path) -> None:
    paddlewheel("classify", photos, "--save-json", "out")
    assert json.loads(Path("out/a_res.json").read_text())["class_name"] == "cat"
    assert Path("out/b_res.json").is_file()


def test_a_gallery_is_built_of_a_folder_and_says_what_is_missing(
    server: Server, paddlewheel: Invoke, photos: Path
) -> None:
    shown = paddlewheel(
        "gallery", "build", "staff", photos, "--kind", "faces", "--metric", "L2", "--several-faces", "all"
    )
    assert shown.stdout.startswith("1 of 2 images are in staff as 1 vectors; operation ")
    assert shown.stderr == "error[no_face]: photos/b.jpg: No face was found in the image.\n"
    assert shown.exit_code == 1
    (request,) = server.asked
    assert [(item.label, item.image.input_path) for item in request.items] == [
        ("Ann Lee", "photos/a.jpg"),
        ("nobody", "photos/b.jpg"),
    ]
    assert (request.kind, request.metric, request.several_faces) == ("faces", "L2", "all")


def test_images_are_appended_under_one_label(server: Server, paddlewheel: Invoke, photos: Path) -> None:
    shown = paddlewheel("gallery", "append", "staff", photos, "--label", "Bob", "--json")
    assert shown.exit_code == 0
    assert [json.loads(line)["status"] for line in shown.stdout.splitlines()] == ["indexed", "indexed"]
    assert {item.label for item in server.asked[0].items} == {"Bob"}
    assert paddlewheel("gallery", "append", "staff", photos / "a.jpg").exit_code == 1


def test_what_failed_says_how_to_go_on(server: Server, paddlewheel: Invoke, photos: Path) -> None:
    server.error = DatabaseUnavailable()
    shown = paddlewheel("gallery", "append", "staff", photos, "--operation-id", "load")
    assert shown.exit_code == 3
    assert "operation_id='load'" in shown.stderr
    assert "error[database_unavailable]" in shown.stderr


@pytest.mark.parametrize(("kind", "line"), [("faces", "Ann Lee, 30x40"), ("images", "Ann Lee (id 7)\t0.970")])
def test_a_gallery_is_searched_as_its_kind_is(
    server: Server, paddlewheel: Invoke, photos: Path, kind: str, line: str
) -> None:
    server.kind = kind
    shown = paddlewheel("gallery", "search", "staff", photos / "a.jpg", "--by-label")
    assert shown.stdout.startswith(line)
    assert server.asked[-1].level == "label"


def test_a_gallery_that_is_not_there_is_one_line(paddlewheel: Invoke, photos: Path) -> None:
    shown = paddlewheel("gallery", "search", "nobody", photos / "a.jpg")
    assert shown.stderr == "error[gallery_not_found]: There is no gallery 'nobody'.\n"
    assert shown.exit_code == 1


def test_galleries_are_described_changed_and_deleted_through_the_queue(
    server: Server, paddlewheel: Invoke, tmp_path: Path
) -> None:
    described = json.loads(paddlewheel("gallery", "describe", "staff").stdout)
    assert (described["kind"], described["vectors"]) == ("faces", 1)
    (tmp_path / "remove_ids.txt").write_text("7\n8 of last year\n")
    removed = paddlewheel("gallery", "remove", "staff", "--id", 3, "--ids-file", tmp_path / "remove_ids.txt")
    assert json.loads(removed.stdout)["ids"] == [7]
    assert server.asked[-1].ids == (3, 7, 8)
    assert paddlewheel("gallery", "remove", "staff").exit_code == 1
    assert json.loads(paddlewheel("gallery", "delete", "staff", "--yes").stdout)["vectors"] == 3


def test_a_feature_cannot_be_drawn(tmp_path: Path) -> None:
    given = ["features", "photo.jpg", "--save-img", str(tmp_path)]
    refused = CliRunner().invoke(main, given)
    assert refused.exit_code == 2
    assert "--save-json" in refused.output


@pytest.mark.parametrize("gone", ["gone", "gone/"])
def test_a_missing_folder_is_said_to_be_missing(gone: str) -> None:
    client = InMemoryClient({})
    for arguments in (["gallery", "build", "k", gone, "--kind", "faces"], ["gallery", "append", "k", gone]):
        shown = CliRunner().invoke(main, arguments, obj=lambda **_: client)
        assert (shown.exit_code, shown.exception.__class__) == (1, SystemExit)
        assert f"error[unsupported_source]: There is no folder {gone}" in shown.stderr
    for command in ("read", "recognize"):
        shown = CliRunner().invoke(main, [command, gone], obj=lambda **_: client)
        assert shown.exit_code == 1
        assert f"There is no folder {gone}" in shown.stderr
