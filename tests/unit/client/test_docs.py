"""What docs/client.md says: its examples run, and its table of errors is the tree of errors."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import api_client
from api_client import READ_PAGES, RECOGNIZE_TEXT, Page, ReadDocument, RecognizedText, Served
from api_client.cli import main
from api_client.contracts import ReadPages
from api_client.errors import CallerError, OperatorError, PaddlewheelError
from api_client.png import encode_png
from api_client.testing import AsyncInMemoryClient, Handlers, InMemoryClient

GUIDE = Path(__file__).parents[3] / "docs" / "client.md"
BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>.*) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [(match["needs"], match["code"]) for match in BLOCK.finditer(GUIDE.read_text("utf-8"))]
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


HANDLERS: Handlers = {
    READ_PAGES: read,
    RECOGNIZE_TEXT: lambda _: RecognizedText(rec_text="hello", rec_score=0.9, served=SERVED),
}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the files that the examples speak of, and clients without a server."""
    monkeypatch.chdir(tmp_path)
    picture = encode_png(b"\xff" * 60 * 40, width=60, height=40, channels=1)
    Path("lines").mkdir()
    for name in ("page.png", "line.png", "lines/1.png", "lines/2.png"):
        Path(name).write_bytes(picture)
    monkeypatch.setattr(api_client, "Client", lambda *_, **__: InMemoryClient(HANDLERS))
    monkeypatch.setattr(api_client, "AsyncClient", lambda *_, **__: AsyncInMemoryClient(HANDLERS))
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
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_task_and_its_options_are_listed() -> None:
    text = GUIDE.read_text("utf-8")
    for name, spec in (("READ_PAGES", READ_PAGES), ("RECOGNIZE_TEXT", RECOGNIZE_TEXT)):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        listed = re.findall(r"`([a-z_]+)`", row.split("|")[4])
        assert listed == [field for field in spec.request.model_fields if field != "image"]
