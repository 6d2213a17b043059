"""The command line over an in-memory client: what it prints, saves and returns."""

import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Client, Page, ReadDocument, RecognizedText, Served
from paddlewheel.cli import main
from paddlewheel.cli.progress import progress_bar
from paddlewheel.contracts.text import ReadPages, RecognizeText
from paddlewheel.errors import BrokerUnavailable, ImageCorrupt
from paddlewheel.in_memory import InMemoryClient

SERVED = Served(model="m1", engine="paddle", device="cpu", queue_ms=3.25, batch_size=8, model_ms=21.5)
Invoke = Callable[..., Result]


def line(request: RecognizeText, data: bytes) -> RecognizedText:
    if data.startswith(b"damaged"):
        raise ImageCorrupt()
    text = f"{data.decode()} {request.model or ''}".strip()
    return RecognizedText(rec_text=text, rec_score=0.987654, served=SERVED)


def document(request: ReadPages, data: bytes) -> ReadDocument:
    """A PDF has as many pages as its bytes say; an image's words are its lines."""
    is_pdf = data.startswith(b"%PDF")
    count = int(data[4:]) if is_pdf else 1
    indices = [at for at in range(count) if request.pages is None or at in request.pages]
    words = ("page",) if is_pdf else tuple(data.decode().split())
    pages = tuple(
        Page(
            input_path=request.image.input_path,
            page_index=at if is_pdf else None,
            width=40,
            height=30,
            dt_polys=(((1, 1), (39, 1), (39, 20), (1, 20)),) * len(words),
            dt_scores=(0.9,) * len(words),
            rec_texts=words,
            rec_scores=(0.75,) * len(words),
            angles=(0,) * len(words),
            served=SERVED,
        )
        for at in indices
    )
    return ReadDocument(input_path=request.image.input_path, page_count=count, pages=pages)


@pytest.fixture
def client() -> InMemoryClient:
    client: InMemoryClient
    client = InMemoryClient(
        {
            RECOGNIZE_TEXT: lambda request: line(request, client.load(request.image)),
            READ_PAGES: lambda request: document(request, client.load(request.image)),
        }
    )
    return client


@pytest.fixture
def paddlewheel(client: Client) -> Invoke:
    def invoke(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin, obj=lambda **_: client)

    return invoke


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three lines, the second damaged, one in a folder below; the paths are relative."""
    monkeypatch.chdir(tmp_path)
    folder = Path("lines")
    (folder / "more").mkdir(parents=True)
    (folder / "1.png").write_bytes(b"one")
    (folder / "2.png").write_bytes(b"damaged")
    (folder / "more" / "3.png").write_bytes(b"three")
    return folder


def rows(output: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [line.split() for line in output.splitlines() if line.strip(" ─")]


def test_of_one_line_the_text_alone_is_printed(paddlewheel: Invoke, lines: Path) -> None:
    result = paddlewheel("recognize", lines / "1.png", "--model", "m2")
    assert (result.stdout, result.stderr, result.exit_code) == ("one m2\n", "", 0)


def test_a_failing_image_does_not_stop_the_others(paddlewheel: Invoke, lines: Path) -> None:
    result = paddlewheel("recognize", lines, "missing.png", lines / "1.png")
    assert result.stdout.splitlines() == ["lines/1.png\tone", "lines/more/3.png\tthree", "lines/1.png\tone"]
    assert result.stderr.splitlines() == [
        "error[image_corrupt]: lines/2.png: The image is cut off or damaged.",
        "error[unsupported_source]: missing.png: There is no file missing.png.",
    ]
    assert result.exit_code == 1


def test_json_lines_and_nothing_else_are_on_stdout(paddlewheel: Invoke, lines: Path) -> None:
    result = paddlewheel("recognize", lines, "--json")
    printed = [json.loads(row) for row in result.stdout.splitlines()]
    assert [each["res"]["rec_text"] for each in printed] == ["one", "three"]
    assert set(printed[0]["res"]) == {"input_path", "page_index", "rec_text", "rec_score"}
    assert printed[0]["served"]["batch_size"] == 8


def test_results_come_in_the_order_of_the_images_in_whichever_order_they_arrive(
    client: InMemoryClient, paddlewheel: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = client.as_completed
    monkeypatch.setattr(client, "as_completed", lambda p, timeout: iter(list(finished(p, timeout))[::-1]))
    texts = [tmp_path / f"{at}.png" for at in range(150)]
    for at, path in enumerate(texts):
        path.write_bytes(b"text %d" % at)
    result = paddlewheel("recognize", *texts)
    assert result.stdout.splitlines() == [f"{path}\ttext {at}" for at, path in enumerate(texts)]


def test_a_page_is_printed_as_its_lines(paddlewheel: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"first second")
    assert paddlewheel("read", tmp_path / "a.png").stdout == "first\nsecond\n"


def test_pages_have_headings_counted_from_one(paddlewheel: Invoke, lines: Path) -> None:
    (lines / "r.pdf").write_bytes(b"%PDF3")
    result = paddlewheel("read", lines / "r.pdf", "--pages", "1,3")
    assert result.stdout == (
        "==> lines/r.pdf, page 1 of 3 <==\npage\n==> lines/r.pdf, page 3 of 3 <==\npage\n"
    )
    assert len(paddlewheel("read", lines / "r.pdf", "--json").stdout.splitlines()) == 3


@pytest.mark.parametrize("pages", ["0", "3-1", "a", "1,,2", "-1", "1-2-3"])
def test_pages_that_are_none_are_a_usage_error(paddlewheel: Invoke, lines: Path, pages: str) -> None:
    result = paddlewheel("read", lines, "--pages", pages)
    assert result.exit_code == 2
    assert "such as 1-3,7" in result.stderr


def test_a_table_shows_text_and_score_and_times_where_asked(paddlewheel: Invoke, lines: Path) -> None:
    heading, *found = rows(paddlewheel("recognize", lines, "--table").stdout)
    assert heading == ["image", "text", "score"]
    assert found == [["lines/1.png", "one", "0.988"], ["lines/more/3.png", "three", "0.988"]]
    heading, *found = rows(paddlewheel("recognize", lines / "1.png", "--timings").stdout)
    assert " ".join(heading) == "image text score queue ms batch wait ms batch size model ms total ms"
    assert found == [["lines/1.png", "one", "0.988", "3.2", "0.0", "8", "21.5", "0.0"]]


def test_a_table_takes_no_text_for_markup_and_cuts_nothing(paddlewheel: Invoke, tmp_path: Path) -> None:
    words = "[bold]" + "x" * 300 + "[/]"
    (tmp_path / "a.png").write_bytes(words.encode())
    assert words in paddlewheel("recognize", tmp_path / "a.png", "--table").stdout


def test_a_page_without_text_has_a_row_and_times_stand_in_the_first(
    paddlewheel: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").write_bytes(b" ")
    (tmp_path / "two.png").write_bytes(b"first second")
    found = rows(paddlewheel("read", tmp_path / "empty.png", tmp_path / "two.png", "--timings").stdout)[1:]
    assert found[0][1:3] == ["(no", "text)"]
    assert found[1][1:] == ["first", "0.750", "3.2", "0.0", "8", "21.5", "0.0"]
    assert found[2] == ["second", "0.750"]


def test_standard_input_is_an_image(paddlewheel: Invoke) -> None:
    assert paddlewheel("recognize", "-", stdin=b"piped").stdout == "piped\n"
    empty = paddlewheel("recognize", "-", stdin=b"")
    assert empty.stderr == "error[image_empty]: stdin: Standard input had no bytes.\n"
    assert empty.exit_code == 1


def test_results_are_saved_beside_their_output(paddlewheel: Invoke, lines: Path) -> None:
    paddlewheel("recognize", lines, "--save-json", "out")
    saved = json.loads(Path("out/1_res.json").read_text())
    assert saved == {
        "input_path": "lines/1.png",
        "page_index": None,
        "rec_text": "one",
        "rec_score": 0.987654,
    }
    assert sorted(path.name for path in Path("out").rglob("*.json")) == ["1_res.json", "3_res.json"]
    assert Path("out/more/3_res.json").is_file()


def test_inputs_of_one_name_never_overwrite_each_other(paddlewheel: Invoke, lines: Path) -> None:
    for other in ("lines/1.jpg", "lines/more/1.png", "lines/1.bmp"):
        Path(other).write_bytes(other.encode())
    paddlewheel("recognize", lines / "1.png", "lines/1.jpg", "lines/more/1.png", "--save-json", "out")
    texts = {str(p): json.loads(p.read_text())["rec_text"] for p in Path("out").rglob("*.json")}
    assert texts == {
        "out/lines/1.png/1_res.json": "one",
        "out/lines/1.jpg/1_res.json": "lines/1.jpg",
        "out/lines/more/1.png/1_res.json": "lines/more/1.png",
    }


def test_a_folder_that_cannot_be_written_fails_the_image(paddlewheel: Invoke, lines: Path) -> None:
    Path("out").mkdir()
    (Path("out") / "1_res.json").mkdir()
    result = paddlewheel("recognize", lines / "1.png", "--save-json", "out")
    assert result.stdout == "one\n"
    assert result.stderr.startswith("error[not_saved]: lines/1.png: ")
    assert result.exit_code == 1


def test_drawn_pages_are_saved(tmp_path: Path) -> None:
    pytest.importorskip("manimgx_fonts_cjk")
    pytest.importorskip("pypdfium2")
    image_module = pytest.importorskip("PIL.Image")
    image_module.new("RGB", (40, 30)).save(tmp_path / "a.bmp")

    def one_line(request: ReadPages) -> ReadDocument:
        page = document(request, b"word").pages[0]
        return ReadDocument(page_count=1, pages=(page,))

    client = InMemoryClient({READ_PAGES: one_line})
    arguments = ["read", str(tmp_path / "a.bmp"), "--save-img", str(tmp_path / "drawn")]
    result = CliRunner().invoke(main, arguments, obj=lambda **_: client)
    assert (result.exit_code, result.stderr) == (0, "")
    with image_module.open(tmp_path / "drawn" / "a_ocr_res_img.bmp") as drawn:
        assert drawn.width > 80


def test_a_missing_extra_is_reported_before_any_work(
    paddlewheel: Invoke, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = paddlewheel("recognize", lines / "1.png", "--save-img", "out")
    assert result.stderr == (
        "error[missing_extra]: Pictures need more packages: pip install 'paddlewheel[pictures]'.\n"
    )
    assert (result.exit_code, result.stdout) == (1, "")


def test_put_prints_addresses_that_other_commands_take(paddlewheel: Invoke, lines: Path) -> None:
    result = paddlewheel("put", lines / "1.png", "missing.png", "-", stdin=b"piped")
    assert result.exit_code == 1
    (blob, name), (_, piped) = (row.split("  ") for row in result.stdout.splitlines())
    assert (name, piped) == ("lines/1.png", "stdin")
    assert paddlewheel("recognize", blob).stdout == "one\n"
    stored = json.loads(paddlewheel("put", lines / "1.png", "--json").stdout)
    assert (stored["blob"], stored["input_path"]) == (blob, "lines/1.png")


def test_a_url_is_refused_in_a_sentence(paddlewheel: Invoke) -> None:
    result = paddlewheel("read", "https://example.org/a.png")
    assert result.stderr.startswith(
        "error[unsupported_source]: https://example.org/a.png: URL inputs are not"
    )
    assert result.exit_code == 1


def test_status_and_cancel_speak_of_tasks_by_their_ids(paddlewheel: Invoke, client: InMemoryClient) -> None:
    with client.paused():
        waiting = client.enqueue(RECOGNIZE_TEXT, b"x")
        assert (
            f"{waiting.task_id}  queued\n  task      ocr.recognize"
            in paddlewheel("status", waiting.task_id).stdout
        )
        assert paddlewheel("cancel", waiting.task_id).stdout == f"{waiting.task_id}  asked to cancel\n"
    found = json.loads(paddlewheel("status", waiting.task_id, "--json").stdout)
    assert (found["state"], found["error"]["code"]) == ("cancelled", "task_cancelled")
    unknown = paddlewheel("status", "nobody", waiting.task_id)
    assert unknown.stderr.startswith("error[task_not_found]: No task nobody is known")
    assert "[task_cancelled]" in unknown.stdout
    assert unknown.exit_code == 1


def test_one_image_is_interactive_and_several_are_bulk(
    paddlewheel: Invoke, client: InMemoryClient, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    enqueue_many = client.enqueue_many

    def note(*arguments: Any, **options: Any) -> Any:
        sent.append(options)
        return enqueue_many(*arguments, **options)

    monkeypatch.setattr(client, "enqueue_many", note)
    paddlewheel("recognize", lines / "1.png", "--deadline", 5)
    paddlewheel("recognize", lines / "1.png", lines / "more" / "3.png")
    paddlewheel("recognize", lines / "1.png", "--priority", "bulk")
    assert [options["priority"] for options in sent] == ["interactive", "bulk", "bulk"]
    assert sent[0]["deadline"] == 5


def test_the_options_of_read_are_fields_of_its_request(lines: Path) -> None:
    seen: list[ReadPages] = []

    def note(request: ReadPages) -> ReadDocument:
        seen.append(request)
        return ReadDocument(page_count=0, pages=())

    arguments = ["--model", "r1", "--detection-model", "d1", "--min-score", "0.25", "--no-orientation"]
    client = InMemoryClient({READ_PAGES: note})
    for options in (arguments, []):
        CliRunner().invoke(main, ["read", str(lines / "1.png"), *options], obj=lambda **_: client)
    given, plain = seen
    assert (given.recognition_model, given.detection_model) == ("r1", "d1")
    assert (given.min_score, given.orientation) == (0.25, False)
    assert plain == ReadPages(image=plain.image)


def test_late_results_are_errors_and_their_tasks_are_cancelled(
    paddlewheel: Invoke, client: InMemoryClient, lines: Path
) -> None:
    with client.paused():
        result = paddlewheel("recognize", lines / "1.png", lines / "more" / "3.png", "--timeout", "0.5")
    assert result.stderr.splitlines() == [
        "error[result_timeout]: lines/1.png: No result came within 0.5 s.",
        "error[result_timeout]: lines/more/3.png: No result came within 0.5 s.",
    ]
    assert result.exit_code == 1
    assert client.waiting == 0


def test_ctrl_c_cancels_what_is_outstanding_and_says_so(
    paddlewheel: Invoke, client: InMemoryClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(pendings: list[Any], timeout: float) -> Iterator[Any]:
        del timeout
        yield pendings[0]
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(10)

    monkeypatch.setattr(client, "as_completed", interrupted)
    cancelled: list[str] = []
    monkeypatch.setattr(client, "cancel", cancelled.append)
    monkeypatch.chdir(tmp_path)
    images = [Path(f"{at}.png") for at in range(3)]
    for path in images:
        path.write_bytes(b"word")
    result = paddlewheel("read", *images)
    assert result.stdout == "==> 0.png <==\nword\n"
    assert result.stderr == "Interrupted: 2 images cancelled.\n"
    assert result.exit_code == 130
    assert len(cancelled) == 2


def test_a_broker_that_is_down_is_one_line(
    paddlewheel: Invoke, client: InMemoryClient, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise BrokerUnavailable("The broker cannot be reached:\nconnection refused")

    monkeypatch.setattr(client, "enqueue_many", down)
    result = paddlewheel("recognize", lines)
    assert result.stderr == "error[broker_unavailable]: The broker cannot be reached: connection refused\n"
    assert (result.exit_code, result.stdout) == (3, "")


def test_addresses_reach_the_client() -> None:
    given: dict[str, Any] = {}

    def connect(**urls: Any) -> Client:
        given.update(urls)
        raise BrokerUnavailable("no")

    arguments = ["status", "x", "--broker", "redis://a", "--results", "redis://b", "--blobs", "file:///c"]
    assert CliRunner().invoke(main, arguments, obj=connect).exit_code == 3
    assert given == {"broker_url": "redis://a", "result_url": "redis://b", "blob_url": "file:///c"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("read",),
        ("recognize", "x.png", "--json", "--table"),
        ("recognize", "x.png", "--priority", "urgent"),
        ("recognize", "x.png", "--deadline", "0"),
        ("recognize", "x.png", "--timeout", "-1"),
        ("read", "x.png", "--min-score", "2"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_is_status_two(paddlewheel: Invoke, arguments: tuple[str, ...]) -> None:
    result = paddlewheel(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_a_request_that_does_not_fit_is_reported_once(paddlewheel: Invoke, lines: Path) -> None:
    result = paddlewheel("recognize", lines, "--model", "../etc")
    assert result.stderr.count("error[invalid_request]") == 1
    assert result.exit_code == 1


def test_a_progress_bar_is_shown_to_people_on_stderr_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with progress_bar(3) as bar:
        bar.arrived(2)
        with bar.hidden():
            print("a result")
        bar.arrived(3)
    assert "2/3" in shown.getvalue()
    assert "3/3" in shown.getvalue()
    assert capsys.readouterr().out == "a result\n"


def test_every_command_explains_itself_with_an_example() -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.help
        assert name == "version" or f"paddlewheel {name} " in command.help
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), parameter.name


def test_the_environment_variables_are_shown(paddlewheel: Invoke) -> None:
    shown = " ".join(paddlewheel("read", "--help").stdout.split())
    for name in ("BROKER", "RESULT", "BLOB"):
        assert f"[env: PADDLEWHEEL_{name}_URL]" in shown


def test_the_version_is_printed(paddlewheel: Invoke) -> None:
    assert paddlewheel("version").stdout.startswith("paddlewheel ")
