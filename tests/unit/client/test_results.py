"""Results print and save themselves as PaddleX's users know it. No picture is drawn here."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddlewheel.contracts.results import Result, Served
from paddlewheel.contracts.text import Page, ReadDocument, RecognizedText
from paddlewheel.errors import BlobExpired, BlobStoreUnavailable, UnsupportedSource
from paddlewheel.sources import file_names

SERVED = Served(model="m1", engine="paddle", device="cpu", batch_size=3)
LINE = RecognizedText(input_path="rec_001.png", rec_text="绿洲仕格维花园公寓", rec_score=0.9823867082595825)


def page(**fields: Any) -> Page:
    values: dict[str, Any] = {
        "input_path": "scans/report.pdf",
        "width": 100,
        "height": 50,
        "dt_polys": (((1.2, 2), (30.7, 3), (30, 12), (1, 11)), ((1, 20), (60, 20), (60, 30), (1, 30))),
        "dt_scores": (0.9, 0.8),
        "rec_texts": ("first", "second"),
        "rec_scores": (0.7, 0.6),
        "angles": (0, 180),
    }
    return Page(**(values | fields))


def document(*indices: int | None) -> ReadDocument:
    pages = tuple(page(page_index=index, rec_texts=(f"p{index}", "x")) for index in indices)
    return ReadDocument(input_path="scans/report.pdf", page_count=9, pages=pages)


def test_the_json_of_a_line_is_what_the_manual_prints() -> None:
    assert LINE.json == {
        "res": {
            "input_path": "rec_001.png",
            "page_index": None,
            "rec_text": "绿洲仕格维花园公寓",
            "rec_score": 0.9823867082595825,
        }
    }


def test_how_it_was_served_stands_beside_the_fields_and_not_among_them() -> None:
    found = LINE.model_copy(update={"served": SERVED}).json
    assert found["res"] == LINE.json["res"]
    assert found["served"]["model"] == "m1"


def test_the_json_of_a_page_has_paddlex_names_in_plain_types() -> None:
    res = page().json["res"]
    assert json.loads(json.dumps(res)) == res
    assert res["rec_texts"] == ["first", "second"]
    assert res["dt_polys"] == res["rec_polys"]
    assert res["rec_boxes"] == [[1, 2, 31, 12], [1, 20, 60, 30]]
    assert res["textline_orientation_angles"] == [0, 1]


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"format_json": False}, str(LINE.json) + "\n"),
        ({}, json.dumps(LINE.json, indent=4, ensure_ascii=False) + "\n"),
        ({"indent": 1, "ensure_ascii": True}, json.dumps(LINE.json, indent=1) + "\n"),
    ],
)
def test_a_result_prints_itself(
    options: dict[str, Any], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LINE.print(**options)
    assert capsys.readouterr().out == printed


def test_a_file_of_its_own_name_holds_the_fields_alone(tmp_path: Path) -> None:
    path = LINE.save_to_json(tmp_path / "new" / "Out.JSON", indent=2)
    assert path == tmp_path / "new" / "Out.JSON"
    assert json.loads(path.read_text("utf-8")) == LINE.json["res"]
    assert '\n  "rec_text": "绿洲' in path.read_text("utf-8")
    assert "绿" not in LINE.save_to_json(str(path), ensure_ascii=True).read_text("utf-8")


@pytest.mark.parametrize(
    ("input_path", "page_index", "name"),
    [
        ("photo.png", None, "photo_res.json"),
        ("/somewhere/else/photo.tar.jpg", None, "photo.tar_res.json"),
        ("report.pdf", 0, "report_0_res.json"),
        (r"C:\scans\photo.png", None, "photo_res.json"),
        ("../../etc/passwd", None, "passwd_res.json"),
        ("a:b?.png", None, "a_b__res.json"),
    ],
)
def test_in_a_folder_a_file_is_named_after_the_input(
    input_path: str, page_index: int | None, name: str, tmp_path: Path
) -> None:
    line = LINE.model_copy(update={"input_path": input_path, "page_index": page_index})
    assert line.save_to_json(tmp_path) == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("input_path", [None, "", "..", "scans/", "."])
def test_without_a_name_the_file_is_named_after_the_result(input_path: str | None, tmp_path: Path) -> None:
    line = LINE.model_copy(update={"input_path": input_path})
    other = line.model_copy(update={"rec_text": "another"})
    paths = {each.save_to_json(tmp_path) for each in (line, line, other)}
    assert len(paths) == 2
    assert all(path.parent == tmp_path and path.name.startswith("image_") for path in paths)


def test_a_name_is_never_too_long_for_a_file_system(tmp_path: Path) -> None:
    line = LINE.model_copy(update={"input_path": "绿" * 300 + ".png", "page_index": 7})
    assert line.save_to_json(tmp_path).is_file()


def test_a_document_is_its_pages() -> None:
    found = document(0, 2)
    assert list(found) == list(found.pages)
    assert found.text == "p0\nx\n\np2\nx"
    assert found.json == [each.json for each in found.pages]


def test_each_page_of_a_document_is_printed_and_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(0, 2)
    found.print(format_json=False)
    assert capsys.readouterr().out == "".join(f"{each.json}\n" for each in found.pages)
    assert [p.name for p in found.save_to_json(tmp_path)] == ["report_0_res.json", "report_2_res.json"]
    several = found.save_to_json(tmp_path / "all.json")
    assert [p.name for p in several] == ["all_0.json", "all_2.json"]
    assert json.loads(several[1].read_text())["rec_texts"] == ["p2", "x"]
    assert document(None).save_to_json(tmp_path / "one.json") == [tmp_path / "one.json"]


def test_a_result_that_knows_its_picture_equals_one_that_does_not() -> None:
    known, plain = (RecognizedText(rec_text="x", rec_score=1) for _ in range(2))
    known.bind_picture(lambda: b"pixels")
    assert known == plain
    assert hash(known) == hash(plain)
    assert known.model_dump_json() == plain.model_dump_json()
    assert document(0) == document(0)


def drawn_on(line: Result, image: Any = None) -> bytes:
    """The bytes that a drawing would be made on."""
    return line._picture(image)


def expired() -> bytes:
    raise BlobExpired("too late")


def unreachable() -> bytes:
    raise BlobStoreUnavailable("down")


@pytest.mark.parametrize(
    ("given", "load", "on_disk", "used"),
    [
        (b"given", lambda: b"stored", True, b"given"),
        (None, lambda: b"stored", True, b"stored"),
        (None, expired, True, b"local"),
        (None, None, True, b"local"),
        (b"given", None, False, b"given"),
    ],
)
def test_the_picture_is_the_given_one_else_the_stored_one_else_the_local_file(
    given: bytes | None,
    load: Callable[[], bytes] | None,
    on_disk: bool,
    used: bytes,
    tmp_path: Path,
) -> None:
    path = tmp_path / "photo.png"
    if on_disk:
        path.write_bytes(b"local")
    line = RecognizedText(input_path=str(path), rec_text="x", rec_score=1)
    if load is not None:
        line.bind_picture(load)
    assert drawn_on(line, given) == used


def test_without_any_picture_the_error_says_what_to_do() -> None:
    with pytest.raises(UnsupportedSource, match="pass it as image="):
        drawn_on(LINE)
    line = LINE.model_copy()
    line.bind_picture(expired)
    with pytest.raises(BlobExpired):
        drawn_on(line)
    line.bind_picture(unreachable)
    with pytest.raises(BlobStoreUnavailable):
        drawn_on(line)


def test_a_document_lends_its_picture_to_its_pages() -> None:
    found = document(0, 1)
    found.bind_picture(lambda: b"the pdf")
    assert [drawn_on(each) for each in found.pages] == [b"the pdf", b"the pdf"]


def test_the_methods_have_the_manuals_parameters_and_defaults() -> None:
    for kind in (RecognizedText, Page, ReadDocument):
        printed = inspect.signature(kind.print).parameters
        assert {n: p.default for n, p in printed.items() if n != "self"} == {
            "format_json": True,
            "indent": 4,
            "ensure_ascii": False,
        }
        saved = list(inspect.signature(kind.save_to_json).parameters.values())[1:]
        assert [p.name for p in saved] == ["save_path", "indent", "ensure_ascii"]
        assert [p.default for p in saved[1:]] == [4, False]
        assert "save_path" in inspect.signature(kind.save_to_img).parameters


def test_paddlex_names_give_no_warning() -> None:
    code = "import paddlewheel.contracts.text as r; assert r.RecognizedText(rec_text='a', rec_score=1).json"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_two_inputs_of_one_name_lose_nothing_in_one_folder(tmp_path: Path) -> None:
    results = [
        RecognizedText(input_path=path, rec_text=path, rec_score=0.5)
        for path in ("a/name.png", "b/name.png", "name.jpg")
    ]
    for _ in range(2):  # saved again, each keeps its file
        paths = [each.save_to_json(tmp_path) for each in results]
        assert [path.name for path in paths] == ["name_res.json", "name_2_res.json", "name_3_res.json"]
    assert [json.loads(path.read_text())["rec_text"] for path in paths] == [each.rec_text for each in results]


def test_names_that_a_process_remembers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_names, "_REMEMBERED", 3)
    monkeypatch.setattr(file_names, "_owners", {})
    for number in range(10):
        line = RecognizedText(input_path=f"{number}.png", rec_text="a", rec_score=0.5)
        assert line.save_to_json(tmp_path).name == f"{number}_res.json"
    assert len(file_names._owners) == 3
    again = RecognizedText(input_path="b/9.png", rec_text="b", rec_score=0.5)
    assert again.save_to_json(tmp_path).name == "9_2_res.json"


def test_drawn_pictures_of_one_name_lose_nothing_in_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    pictures = pytest.importorskip("PIL.Image")
    for name in ("a/name.png", "b/name.png"):
        (tmp_path / name).parent.mkdir()
        pictures.new("RGB", (40, 20), "white").save(tmp_path / name)
    saved = [
        RecognizedText(input_path=str(tmp_path / name), rec_text=name, rec_score=0.5).save_to_img(tmp_path)
        for name in ("a/name.png", "b/name.png")
    ]
    assert [path.name for path in saved] == ["name_res.png", "name_2_res.png"]
