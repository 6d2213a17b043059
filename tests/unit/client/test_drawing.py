"""Results drawn beside their pictures. Needs the extra `pictures`."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddlewheel.contracts.text import Page, ReadDocument, RecognizedText
from paddlewheel.errors import (
    ImageCorrupt,
    ImageUnsupported,
    MissingExtra,
    PdfCorrupt,
    PdfEncrypted,
    PdfPageNotFound,
    UnsupportedSource,
)
from paddlewheel.pictures.loading import open_picture
from tests.data.pdfs import LOCKED, PdfPage, pdf, rectangle

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("pypdfium2")
pytest.importorskip("manimgx_fonts_cjk")

fonts = pytest.importorskip("paddlewheel.pictures.fonts")

GUTTER = 12
LINE_A = ((20, 20), (200, 20), (200, 50), (20, 50))
LINE_B = ((20, 100), (200, 100), (200, 130), (20, 130))


def blank(width: int = 300, height: int = 200, colour: str = "white") -> Any:
    return Image.new("RGB", (width, height), colour)


def stored(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def page(*polygons: Any, texts: tuple[str, ...] | None = None, **fields: Any) -> Page:
    values: dict[str, Any] = {
        "width": 300,
        "height": 200,
        "dt_polys": polygons,
        "dt_scores": (0.9,) * len(polygons),
        "rec_texts": texts or ("Text",) * len(polygons),
        "rec_scores": (0.9,) * len(polygons),
        "angles": (0,) * len(polygons),
    }
    return Page(**(values | fields))


def ink(drawn: Any, box: tuple[int, int, int, int]) -> int:
    """How many pixels of a box are as dark as letters are."""
    histogram: list[int] = drawn.crop(box).convert("L").histogram()
    return sum(histogram[:45])


def right_of(box: tuple[int, int, int, int], width: int = 300) -> tuple[int, int, int, int]:
    return box[0] + width + GUTTER, box[1], box[2] + width + GUTTER, box[3]


def test_a_page_and_its_texts_stand_side_by_side() -> None:
    one = page(LINE_A)
    one.bind_picture(lambda: stored(blank()))
    assert list(one.img) == ["ocr_res_img"]
    assert one.img["ocr_res_img"].size == (300 + GUTTER + 300, 200)


def test_texts_are_written_where_their_lines_are() -> None:
    drawn = page(LINE_A, LINE_B).draw(blank())
    for box in ((20, 20, 200, 50), (20, 100, 200, 130)):
        assert ink(drawn, right_of(box)) > 30
        assert ink(drawn, box) == 0
    assert ink(drawn, right_of((0, 140, 300, 200))) == 0


def test_lines_are_marked_so_that_the_picture_shows_through() -> None:
    black_and_white = blank()
    black_and_white.paste("black", (60, 30, 100, 40))
    drawn: Any = page(LINE_A).draw(black_and_white)
    inside, letter, outside = (drawn.getpixel(at) for at in ((150, 35), (80, 35), (250, 180)))
    assert outside == (255, 255, 255)
    assert inside != outside
    assert sum(letter) < sum(inside) < sum(outside)


def test_neighbouring_lines_have_different_colours() -> None:
    drawn: Any = page(LINE_A, LINE_B).draw(blank())
    one, two = drawn.getpixel((150, 35)), drawn.getpixel((150, 115))
    assert sum(abs(a - b) for a, b in zip(one, two, strict=True)) > 60


def test_a_small_page_is_enlarged_until_its_text_can_be_read() -> None:
    small = page(((2, 2), (60, 2), (60, 12), (2, 12)), width=80, height=40)
    drawn = small.draw(blank(80, 40))
    assert drawn.height > 80
    large = page(((20, 20), (9000, 20), (9000, 220), (20, 220)), width=10_000, height=500)
    assert large.draw(blank(10_000, 500)).width < 2 * 4096 + 100


def test_slanted_turned_and_vertical_lines_stay_in_their_places() -> None:
    slanted = ((40, 40), (180, 90), (172, 112), (32, 62))
    vertical = ((240, 10), (280, 10), (280, 190), (240, 190))
    drawn = page(slanted, vertical, texts=("slanted text", "竖排文字")).draw(blank())
    assert ink(drawn, right_of((30, 38, 184, 114))) > 60
    assert ink(drawn, right_of((60, 120, 180, 200))) == 0
    for top in (10, 55, 100, 145):  # a letter in each quarter
        assert ink(drawn, right_of((240, top, 280, top + 45))) > 20
    turned = page(vertical, texts=("Latin text",)).draw(blank())
    assert ink(turned, right_of((240, 10, 280, 190))) > 60


@pytest.mark.parametrize(
    "polygon",
    [
        ((5, 5),) * 4,
        ((-50, -50), (900, -50), (900, 900), (-50, 900)),
        ((400, 400), (500, 400), (500, 420), (400, 420)),
        ((10, 10), (10, 10), (10, 90), (10, 90)),
    ],
)
def test_lines_that_are_odd_or_outside_do_no_harm(polygon: Any) -> None:
    assert page(polygon, texts=("odd\nwith a break\t\x00",)).draw(blank()).height >= 200


def test_a_page_without_lines_is_drawn() -> None:
    assert page().draw(blank()).size == (612, 200)


def test_another_picture_than_the_pages_is_refused() -> None:
    with pytest.raises(UnsupportedSource, match="200 x 300 pixels and the page was 300 x 200"):
        page(LINE_A).draw(blank(200, 300))


def test_a_line_has_its_text_and_score_below() -> None:
    line = RecognizedText(rec_text="绿洲", rec_score=0.98)
    drawn = line.draw(blank(400, 64))
    assert drawn.width == 400
    assert ink(drawn, (0, 0, 400, 64)) == 0
    assert ink(drawn, (0, 64, 400, drawn.height)) > 100
    assert RecognizedText(rec_text="", rec_score=0).draw(blank(400, 64)).height > 64


def test_a_long_text_below_a_narrow_line_is_not_cut() -> None:
    drawn = RecognizedText(rec_text="many words " * 12, rec_score=0.5).draw(blank(60, 30))
    assert drawn.width > 320
    assert ink(drawn, (drawn.width - 3, 0, drawn.width, drawn.height)) == 0


def test_a_tiny_line_is_enlarged_and_a_huge_one_made_smaller() -> None:
    assert RecognizedText(rec_text="a", rec_score=1).draw(blank(40, 10)).width == 160
    assert RecognizedText(rec_text="a", rec_score=1).draw(blank(9000, 90)).width <= 4096


def test_pictures_are_saved_under_paddlex_names(tmp_path: Path) -> None:
    line = RecognizedText(input_path="a/photo.JPG", rec_text="a", rec_score=1)
    assert line.save_to_img(tmp_path, image=blank()) == tmp_path / "photo_res.JPG"
    assert line.save_to_img(tmp_path / "x" / "own.webp", image=blank()).name == "own.webp"
    two = ReadDocument(
        page_count=2, pages=tuple(page(LINE_A, input_path="r.pdf", page_index=i) for i in (0, 1))
    )
    file = pdf(PdfPage(width=150, height=100), PdfPage(width=150, height=100))
    two.bind_picture(lambda: file)
    names = [path.name for path in two.save_to_img(tmp_path)]
    assert names == ["r_0_ocr_res_img.png", "r_1_ocr_res_img.png"]
    assert [path.name for path in two.save_to_img(tmp_path / "p.png")] == ["p_0.png", "p_1.png"]
    assert [list(each) for each in two.img] == [["ocr_res_img"]] * 2
    line.bind_picture(lambda: stored(blank()))
    assert line.img["res"].mode == "RGB"
    with Image.open(tmp_path / "photo_res.JPG") as saved:
        assert saved.format == "JPEG"


def quadrants(image: Any) -> list[tuple[int, int, int]]:
    """The colours of the four quarters, in reading order."""
    w, h = image.size
    return [image.getpixel((w * x // 4, h * y // 4)) for y in (1, 3) for x in (1, 3)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_once_in_every_format(kind: str, orientation: int) -> None:
    upright = blank(80, 48)
    for at, colour in zip(
        ((0, 0), (40, 0), (0, 24), (40, 24)), ("red", "lime", "blue", "white"), strict=True
    ):
        upright.paste(colour, (*at, at[0] + 40, at[1] + 24))
    turn = Image.Transpose
    undo = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    as_taken = upright if undo is None else upright.transpose(undo)
    opened = open_picture(stored(as_taken, kind, exif=exif, quality=95))
    assert opened.size == (80, 48)
    for seen, meant in zip(quadrants(opened), quadrants(upright), strict=True):
        assert max(abs(a - b) for a, b in zip(seen, meant, strict=True)) < 40


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb_of_eight_bits(mode: str) -> None:
    image = Image.new("I;16", (4, 3), 0x8000) if mode == "I;16" else blank(4, 3, "gray").convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    opened: Any = open_picture(stored(image, kind))
    assert (opened.mode, opened.size) == ("RGB", (4, 3))
    if mode not in ("1", "P"):
        assert all(abs(value - 128) <= 2 for value in opened.getpixel((1, 1)))


def test_a_page_of_a_pdf_is_rendered_at_the_size_it_had() -> None:
    red = rectangle(0, 50, 100, 50)  # the upper left quarter, in points from below
    file = pdf(PdfPage(), PdfPage(width=200, height=100, drawing=red), PdfPage(rotate=90))
    opened = open_picture(file, page_index=1, size=(501, 251))
    assert opened.size == (501, 251)
    assert quadrants(opened) == [(255, 0, 0), (255, 255, 255), (255, 255, 255), (255, 255, 255)]
    assert open_picture(file, page_index=1).size == (400, 200)
    assert open_picture(file, page_index=2).size == (200, 400)
    assert open_picture(b"\n\n" + file).size == (400, 200)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no picture", ImageUnsupported),
        (stored(blank())[:200], ImageCorrupt),
        (b"%PDF-1.7 cut off", PdfCorrupt),
        (LOCKED, PdfEncrypted),
    ],
)
def test_damaged_pictures_are_typed_errors(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_picture(data)


def test_a_page_that_the_pdf_has_not_is_a_typed_error() -> None:
    with pytest.raises(PdfPageNotFound, match="has 1 pages, none of index 3"):
        open_picture(pdf(PdfPage()), page_index=3)


@pytest.mark.parametrize(
    ("module", "draw"),
    [("PIL", lambda: open_picture(b"x")), ("pypdfium2", lambda: open_picture(b"%PDF-1.7"))],
)
def test_a_missing_package_names_the_extra(
    module: str, draw: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'paddlewheel\[pictures\]'"):
        draw()


SAMPLES = {
    "latin": "Größe 12,50 €",
    "greek": "Ελληνικά 123",
    "cyrillic": "Привет, мир",
    "vietnamese": "Tiếng Việt",
    "chinese": "绿洲仕格维花园公寓",
    "japanese": "東京の文字カナ",
    "korean": "서울특별시",
}
PACKAGED = {
    "arabic": "مرحبا بالعالم",
    "hebrew": "שלום עולם",
    "devanagari": "नमस्ते दुनिया",
    "tamil": "தமிழ் மொழி",
    "telugu": "తెలుగు భాష",
    "kannada": "ಕನ್ನಡ ಭಾಷೆ",
    "thai": "ภาษาไทย",
    "georgian": "ქართული",
}


def boxes_drawn(text: str) -> list[str]:
    """The characters that no font of the ones chosen has."""
    return [c for face, run in fonts.Lettering(text)._runs for c in run if not face.has(c)]


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
def test_east_asian_and_european_letters_are_in_the_collection(text: str) -> None:
    assert boxes_drawn(text) == []


@pytest.mark.parametrize("text", PACKAGED.values(), ids=PACKAGED)
def test_the_scripts_of_every_recognizer_are_in_the_package_of_scripts(text: str) -> None:
    pytest.importorskip("manimgx_fonts")
    assert boxes_drawn(text) == []
    assert boxes_drawn(f"{text} 绿洲 2024 {text}") == []


def test_a_text_of_several_scripts_is_split_and_none_of_it_lost() -> None:
    text = "Invoice حساب 発票 12 \U0010ffff"
    lettering = fonts.Lettering(text)
    assert "".join(run for _, run in lettering._runs) == text
    assert lettering.width(20) > 60


def test_han_characters_are_those_of_the_text_around_them() -> None:
    faces = [fonts.Lettering(text)._runs[0][0].index for text in ("直の", "직直", "直")]
    assert faces == [0, 1, 2]


@pytest.mark.parametrize("text", ["A", "A long line of text", "绿洲仕格维花园公寓"])
@pytest.mark.parametrize("box", [(300.0, 40.0), (40.0, 300.0), (9.0, 7.0)])
def test_a_text_never_leaves_its_box(text: str, box: tuple[float, float]) -> None:
    lettering = fonts.Lettering(text)
    size = lettering.fitting_size(*box)
    assert size <= box[1]
    assert size == 1 or lettering.width(size) <= box[0] + 1


@pytest.mark.parametrize("module", ["PIL", "pypdfium2"])
def test_drawing_without_a_package_of_the_extra_is_a_typed_error(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = pdf(PdfPage())
    monkeypatch.setitem(sys.modules, module, None)
    fonts._sized.cache_clear()
    line = RecognizedText(rec_text="A", rec_score=0.5)
    polygon = ((0, 0), (9, 0), (9, 9), (0, 9))
    for result in (line, page(polygon, texts=("A",))):
        with pytest.raises(MissingExtra, match=r"paddlewheel\[pictures\]"):
            result.draw(document)
    fonts._sized.cache_clear()
