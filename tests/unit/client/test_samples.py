"""The samples of the README and of the documentation run, over clients without a server."""

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import paddlewheel
from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Page, ReadDocument, RecognizedText, Served
from paddlewheel.contracts import faces
from paddlewheel.contracts.text import ReadPages
from paddlewheel.in_memory import AsyncInMemoryClient, Handlers, InMemoryClient
from paddlewheel.sources.png import encode_png
from tests.samples import Sample, find_samples

SAMPLES = [sample for sample in find_samples() if "server" not in sample.needs]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SERVED = Served(model="m", engine="paddle", device="cpu")


def read(request: ReadPages) -> ReadDocument:
    page = Page(
        input_path=request.image.input_path,
        width=60,
        height=40,
        dt_polys=(((5, 5), (55, 5), (55, 20), (5, 20)),),
        dt_scores=(0.9,),
        rec_texts=("hello",),
        rec_scores=(0.9,),
        angles=(0,),
    )
    return ReadDocument(input_path=request.image.input_path, page_count=1, pages=(page,))


MATCH = paddlewheel.Match(label="Ann Lee", score=0.97, id=7)
FACE = faces.DetectedFace(bbox=(10, 5, 40, 35), score=0.9)


def added(request: paddlewheel.BuildGallery | paddlewheel.AppendGallery) -> paddlewheel.AddedImages:
    outcomes = tuple(
        paddlewheel.ImageOutcome(status="indexed", label=item.label, ids=(number,))
        for number, item in enumerate(request.items)
    )
    return paddlewheel.AddedImages(gallery=request.gallery, operation_id="o", generation=1, outcomes=outcomes)


SEEING: Handlers = {
    paddlewheel.DETECT_FACES: lambda _: paddlewheel.DetectedFaces(width=60, height=40, faces=(FACE,)),
    paddlewheel.EMBED_FACES: lambda _: paddlewheel.EmbeddedFaces(
        width=60,
        height=40,
        model="m",
        faces=(faces.EmbeddedFace(**FACE.model_dump(), feature=(1.0, 0.0)),),
    ),
    paddlewheel.IDENTIFY_FACES: lambda _: paddlewheel.IdentifiedFaces(
        width=60,
        height=40,
        gallery="staff",
        faces=(faces.IdentifiedFace(**FACE.model_dump(), rec_results=(MATCH,)),),
    ),
    paddlewheel.EXTRACT_FEATURE: lambda _: paddlewheel.ExtractedFeature(
        feature=(1.0,), dimension=1, model="m"
    ),
    paddlewheel.CLASSIFY_IMAGE: lambda _: paddlewheel.ClassifiedImage(
        class_id=1, class_name="cat", class_probs={"cat": 0.9}
    ),
    paddlewheel.SEARCH_IMAGE: lambda _: paddlewheel.SimilarImages(gallery="drinks", rec_results=(MATCH,)),
    paddlewheel.BUILD_GALLERY: added,
    paddlewheel.APPEND_GALLERY: added,
    paddlewheel.REMOVE_GALLERY: lambda request: paddlewheel.RemovedVectors(
        gallery="staff",
        operation_id=request.operation_id,
        ids=(1,),
        removed_at=NOW,
        verified_at=NOW,
        purge_by=NOW,
        purged_at=None,
    ),
    paddlewheel.DESCRIBE_GALLERY: lambda request: paddlewheel.GalleryDescription(
        gallery=request.gallery,
        kind="faces",
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
    ),
}
HANDLERS: Handlers = {
    **SEEING,
    READ_PAGES: read,
    RECOGNIZE_TEXT: lambda _: RecognizedText(rec_text="hello", rec_score=0.9, served=SERVED),
}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the files that the samples speak of, and clients without a server."""
    monkeypatch.chdir(tmp_path)
    picture = encode_png(b"\xff" * 60 * 40, width=60, height=40, channels=1)
    Path("lines").mkdir()
    Path("portraits").mkdir()
    for name in (
        "page.png",
        "line.png",
        "lines/1.png",
        "lines/2.png",
        "photo.jpg",
        "party.jpg",
        "portraits/ann.jpg",
    ):
        Path(name).write_bytes(picture)
    Path("portraits/ann.jpg").write_bytes(picture)
    Path("portraits/gallery.txt").write_text("ann.jpg Ann Lee\n")
    monkeypatch.setattr(paddlewheel, "Client", lambda *_, **__: InMemoryClient(HANDLERS))
    monkeypatch.setattr(paddlewheel, "AsyncClient", lambda *_, **__: AsyncInMemoryClient(HANDLERS))
    yield


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_every_sample_runs(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    for package in sample.needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(sample.code, str(sample.page), "exec"), scope)  # noqa: S102 - our own documentation
    assert bool(capsys.readouterr().out) == ("print(" in sample.code)
    assert Path("output").is_dir() == ("save_to_" in sample.code)


def test_the_readme_and_the_guides_have_samples() -> None:
    assert {"readme_1"} < {sample.name for sample in SAMPLES}
    assert len(SAMPLES) >= 15
