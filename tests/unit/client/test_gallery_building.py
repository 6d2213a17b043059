"""From labelled images to small steps, over an in-memory client."""

from pathlib import Path
from typing import Any

import pytest

from paddlewheel import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    AddedImages,
    AppendGallery,
    BuildGallery,
    ImageOutcome,
    append_gallery,
    append_gallery_async,
    build_gallery,
    build_gallery_async,
    labelled_images,
)
from paddlewheel.errors import (
    DatabaseUnavailable,
    GalleryExists,
    ImageCorrupt,
    InvalidRequest,
    LabelListInvalid,
    UnsupportedSource,
)
from paddlewheel.in_memory import AsyncInMemoryClient, InMemoryClient


class Server:
    """Keeps galleries as a worker does: an operation that is repeated is only answered."""

    def __init__(self) -> None:
        self.galleries: dict[str, str] = {}
        self.operations: dict[str, AddedImages] = {}
        self.requests: list[Any] = []
        self.fail_at: int | None = None
        self.client = InMemoryClient({BUILD_GALLERY: self.build, APPEND_GALLERY: self.add})

    def build(self, request: BuildGallery) -> AddedImages:
        if self.galleries.setdefault(request.gallery, request.operation_id or "") != request.operation_id:
            raise GalleryExists()
        return self.add(request)

    def add(self, request: AppendGallery | BuildGallery) -> AddedImages:
        self.requests.append(request)
        if len(self.requests) == self.fail_at:
            raise DatabaseUnavailable()
        first = 100 * len(self.operations)
        outcomes = tuple(
            ImageOutcome(status="indexed", label=item.label, ids=(first + at,))
            for at, item in enumerate(request.items)
        )
        answer = AddedImages(
            gallery=request.gallery,
            operation_id=request.operation_id or "",
            generation=1,
            outcomes=outcomes,
        )
        return self.operations.setdefault(answer.operation_id, answer)


@pytest.fixture
def server() -> Server:
    return Server()


def images(count: int) -> list[tuple[bytes, str]]:
    return [(b"%d" % at, f"label {at}") for at in range(count)]


def test_a_build_is_many_small_steps_of_one_operation(server: Server) -> None:
    seen: list[tuple[int, int]] = []
    report = build_gallery(
        server.client,
        "staff",
        images(70),
        kind="faces",
        operation_id="load",
        several_faces="largest",
        metric="L2",
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [request.operation_id for request in server.requests] == ["load", "load/1", "load/2"]
    assert [len(request.items) for request in server.requests] == [32, 32, 6]
    assert {request.several_faces for request in server.requests} == {"largest"}
    assert server.requests[0].metric == "L2"
    assert [outcome.label for outcome in report.outcomes] == [label for _, label in images(70)]
    assert report.counts == {"indexed": 70}
    assert len(report.id_map) == 70
    assert seen == [(32, 70), (64, 70), (70, 70)]


def test_an_empty_gallery_can_be_built(server: Server) -> None:
    assert build_gallery(server.client, "staff", [], kind="images").outcomes == ()
    assert server.requests[0].items == ()


def test_a_build_over_another_gallery_is_refused_before_anything_is_added(server: Server) -> None:
    build_gallery(server.client, "staff", [], kind="faces")
    with pytest.raises(GalleryExists):
        build_gallery(server.client, "staff", images(40), kind="faces")
    assert len(server.requests) == 1


def test_what_failed_can_be_repeated_by_its_operation_id(server: Server) -> None:
    server.fail_at = 2
    with pytest.raises(DatabaseUnavailable) as caught:
        build_gallery(server.client, "staff", images(40), kind="faces", operation_id="load")
    assert "operation_id='load'" in caught.value.__notes__[0]
    report = build_gallery(server.client, "staff", images(40), kind="faces", operation_id="load")
    assert report.counts == {"indexed": 40}
    assert set(server.operations) == {"load", "load/1"}


def test_an_image_that_cannot_be_read_here_fails_alone(server: Server) -> None:
    given: list[Any] = [(b"one", "a"), ("no such file.jpg", "b"), (b"two", "c")]
    report = append_gallery(server.client, "staff", given)
    assert [(outcome.status, outcome.label) for outcome in report.outcomes] == [
        ("indexed", "a"),
        ("unreadable", "b"),
        ("indexed", "c"),
    ]
    assert report.outcomes[1].input_path == "no such file.jpg"
    with pytest.raises(UnsupportedSource, match="no such file"):
        report.outcomes[1].raise_for_error()
    report.outcomes[0].raise_for_error()
    assert report.outcomes[0].exception is None


def test_an_outcome_raises_the_error_of_its_code() -> None:
    outcome = ImageOutcome.model_validate(
        {"status": "unreadable", "label": "a", "error": {"code": "image_corrupt", "message": "m"}}
    )
    assert isinstance(outcome.exception, ImageCorrupt)


def test_options_that_do_not_fit_are_refused(server: Server) -> None:
    with pytest.raises(InvalidRequest, match="several_faces"):
        append_gallery(server.client, "staff", images(1), several_faces="some")
    with pytest.raises(InvalidRequest, match="gallery"):
        append_gallery(server.client, "../staff", images(1))
    with pytest.raises(InvalidRequest, match="at least one"):
        append_gallery(server.client, "staff", images(1), step=0)
    with pytest.raises(InvalidRequest, match="metrik"):
        append_gallery(server.client, "staff", images(1), metrik="IP")
    assert server.requests == []


async def test_the_same_goes_for_asyncio(server: Server) -> None:
    client = AsyncInMemoryClient({BUILD_GALLERY: server.build, APPEND_GALLERY: server.add})
    await build_gallery_async(client, "staff", images(3), kind="faces")
    report = await append_gallery_async(client, "staff", images(3))
    assert report.counts == {"indexed": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "Ann Lee").mkdir(parents=True)
    for name in ("images/Ann Lee/1.jpg", "images/2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "gallery.txt").write_text("images/Ann Lee/1.jpg Ann Lee\nimages/2.jpg Bob\n")
    return tmp_path


def test_a_folder_brings_its_list(folder: Path) -> None:
    expected = [(folder / "images/Ann Lee/1.jpg", "Ann Lee"), (folder / "images/2.jpg", "Bob")]
    assert labelled_images(folder) == expected
    assert labelled_images(str(folder), str(folder / "gallery.txt")) == expected


def test_a_folder_or_a_list_may_come_with_a_list_of_labels(folder: Path) -> None:
    assert labelled_images(folder, ["b", "a"]) == [
        (folder / "images/2.jpg", "b"),
        (folder / "images/Ann Lee/1.jpg", "a"),
    ]
    assert labelled_images([b"1", b"2"], ["a", "b"]) == [(b"1", "a"), (b"2", "b")]
    (folder / "labels.txt").write_text("first label\nsecond\n")
    assert labelled_images([b"1", b"2"], folder / "labels.txt") == [(b"1", "first label"), (b"2", "second")]


def test_pairs_are_taken_as_they_are() -> None:
    assert labelled_images([(b"1", "a"), {"image": b"2", "label": "b"}]) == [(b"1", "a"), (b"2", "b")]


@pytest.mark.parametrize(
    ("given", "labels"),
    [([b"1"], ["a", "b"]), ([b"1"], None), ([(b"1", b"a")], None), ([{"image": 1}], None)],
)
def test_images_and_labels_that_do_not_match_are_refused(given: Any, labels: Any) -> None:
    with pytest.raises(LabelListInvalid):
        labelled_images(given, labels)


def test_a_folder_without_a_list_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabelListInvalid, match=r"gallery\.txt"):
        labelled_images(tmp_path)


@pytest.mark.parametrize("labels", [None, ["a"], "labels.txt"])
def test_a_folder_that_is_missing_is_said_to_be_missing(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSource, match=f"There is no folder {tmp_path}/gone"):
        labelled_images(tmp_path / "gone", labels)


@pytest.mark.parametrize("given", [7, b"bytes", None])
def test_a_gallery_of_neither_a_folder_nor_a_list_is_refused(given: Any) -> None:
    with pytest.raises(UnsupportedSource, match="a folder or a list"):
        labelled_images(given)


def test_a_file_is_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(UnsupportedSource, match="is no folder"):
        labelled_images(tmp_path / "a.jpg")
