"""What docs/client.md says: its examples run, and its table of errors is the tree of errors."""

import importlib.util
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

import paddlewheel
from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Page, ReadDocument, RecognizedText, Served
from paddlewheel.cli import main
from paddlewheel.cli.galleries import tasks as galleries
from paddlewheel.contracts import faces
from paddlewheel.contracts.base import TaskSpec
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.contracts.text import ReadPages
from paddlewheel.errors import CallerError, OperatorError, PaddlewheelError
from paddlewheel.in_memory import AsyncInMemoryClient, Handlers, InMemoryClient
from paddlewheel.sources.png import encode_png

GUIDE = Path(__file__).parents[3] / "docs" / "client.md"
BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>.*) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [(match["needs"], match["code"]) for match in BLOCK.finditer(GUIDE.read_text("utf-8"))]
SPECS: dict[str, TaskSpec[Any, Any]] = {
    name: spec for name, spec in vars(paddlewheel).items() if isinstance(spec, TaskSpec)
}
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
    """A folder with the files that the examples speak of, and clients without a server."""
    monkeypatch.chdir(tmp_path)
    picture = encode_png(b"\xff" * 60 * 40, width=60, height=40, channels=1)
    Path("lines").mkdir()
    Path("portraits").mkdir()
    for name in ("page.png", "line.png", "lines/1.png", "lines/2.png", "photo.jpg", "portraits/ann.jpg"):
        Path(name).write_bytes(picture)
    Path("portraits/gallery.txt").write_text("ann.jpg Ann Lee\n")
    monkeypatch.setattr(paddlewheel, "Client", lambda *_, **__: InMemoryClient(HANDLERS))
    monkeypatch.setattr(paddlewheel, "AsyncClient", lambda *_, **__: AsyncInMemoryClient(HANDLERS))
    yield


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(("needs", "code"), BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_runs(needs: str | None, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    for package in (needs or "").replace(",", " ").split():
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(GUIDE), "exec"), scope)  # noqa: S102 - the guide's own code
    assert bool(capsys.readouterr().out) == ("print(" in code)
    assert Path("output").is_dir() == ("save_to_" in code)


def rows(root: type[PaddlewheelError]) -> Iterator[str]:
    meaning = (root.__doc__ or "").strip().splitlines()[0]
    yield f"| `{root.code}` | `{root.__name__}` | {meaning} |"
    for child in root.__subclasses__():
        yield from rows(child)


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    table = [row for row in GUIDE.read_text("utf-8").splitlines() if re.match(r"\| `[a-z_]+` \| `[A-Z]", row)]
    assert table == [*rows(CallerError), *rows(OperatorError)]


def test_the_commands_of_the_guide_exist_with_their_options() -> None:
    shown = re.findall(
        r"(?:^\$|\|) paddlewheel (.*?)(?: +#.*| > .*)?$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    assert len(shown) >= 8
    for line in shown:
        name, *words = line.split()
        command: click.Command = galleries if name == "gallery" else main.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_task_and_its_options_are_listed() -> None:
    text = GUIDE.read_text("utf-8")
    by_image = [name for name, spec in SPECS.items() if "image" in spec.request.model_fields]
    assert {"READ_PAGES", "IDENTIFY_FACES", "CLASSIFY_IMAGE"} <= set(by_image)
    for name in by_image:
        spec = SPECS[name]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        listed = re.findall(r"`([a-z_]+)`", row.split("|")[4])
        assert listed == [field for field in spec.request.model_fields if field != "image"]
    for name, spec in SPECS.items():
        if "gallery" in spec.request.model_fields and name not in by_image:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
            _, _, request, result, _ = row.split("|")
            assert re.findall(r"`(\w+)`", result)[0] == spec.result.__name__
            contract, *fields = re.findall(r"`(\w+)`", request)
            assert contract == spec.request.__name__
            assert set(fields) - {"LabelledImage"} <= set(spec.request.model_fields)


def test_the_page_for_other_producers_names_every_task_and_its_fields() -> None:
    page = (GUIDE.parent / "bare-celery.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", page))
    for spec in TASKS:
        assert spec.name in named
        fields = set(spec.request.model_fields) - {"items"}
        assert fields <= named, spec.name
