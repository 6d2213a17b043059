"""PDFs: what is drawn, what is refused, and that no file can take the worker with it."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlewheel.errors import (
    ImageError,
    ImageTooNarrow,
    PdfCorrupt,
    PdfEncrypted,
    PdfError,
    PdfPageNotFound,
    PdfTooManyPages,
)
from tests.data.pdfs import LOCKED, RESTRICTED, PdfPage, pdf, rectangle, stream, text
from workers.images.limits import PAGE_LIMITS, Image
from workers.images.pdf import PdfLimits, PdfReader

ONE_PIXEL_A_POINT = PdfLimits(dpi=72, processes=1)
COLOURS = ["1 0 0", "0 1 0", "0 0 1", "1 1 0", "0 1 1", "1 0 1", "0 0 0", "0.5 0.5 0.5"]


@pytest.fixture(scope="module")
def reader() -> Iterator[PdfReader]:
    reader = PdfReader(ONE_PIXEL_A_POINT)
    yield reader
    reader.close()


def drawn(reader: PdfReader, data: bytes, index: int = 0) -> Image:
    with reader.open(data, PAGE_LIMITS) as document:
        return document.render(index)


def filled(rgb: str) -> PdfPage:
    return PdfPage(drawing=rectangle(0, 0, 200, 100, rgb))


def pdf_of_forms_in_forms() -> bytes:
    """Each of eight forms draws the next one twenty times: 2 kB, and 25 billion rectangles."""
    forms = [
        stream(
            b"/X Do " * 20 if number < 11 else b"0 0 9 9 re f ",
            f"/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {number + 1} 0 R>>>>",
        )
        for number in range(4, 12)
    ]
    return pdf(PdfPage(drawing="/X Do", resources="/XObject<</X 4 0 R>>"), objects=tuple(forms))


def test_a_page_is_drawn_in_bgr_on_white(reader: PdfReader) -> None:
    image = drawn(reader, pdf(PdfPage(drawing=rectangle(0, 50, 100, 50, "1 0 0"))))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.shape == (100, 200, 3)
    assert image[10, 10].tolist() == [0, 0, 255]
    assert image[90, 190].tolist() == [255, 255, 255]


def test_rotation_is_honoured(reader: PdfReader) -> None:
    page = PdfPage(drawing=rectangle(0, 50, 100, 50, "1 0 0"))
    upright = drawn(reader, pdf(page))
    for turns in range(4):
        turned = drawn(reader, pdf(replace(page, rotate=90 * turns)))
        assert np.array_equal(turned, np.rot90(upright, -turns))


def test_resolution_is_in_dots_per_inch() -> None:
    reader = PdfReader(PdfLimits(dpi=144))
    assert drawn(reader, pdf(PdfPage(width=72, height=36))).shape == (72, 144, 3)
    reader.close()


def test_text_is_drawn(reader: PdfReader) -> None:
    image = drawn(reader, pdf(PdfPage(drawing=text("Paddlewheel", 10, 40, 24))))
    ink = image.max(axis=2) < 128
    assert 300 < ink.sum() < 3_000
    assert not ink[:20].any()


def test_filled_in_forms_are_drawn(reader: PdfReader) -> None:
    look = stream(rectangle(0, 0, 50, 50, "0 0 1").encode(), "/Subtype/Form/BBox[0 0 50 50]")
    field = b"<</Subtype/Widget/FT/Tx/T(a)/Rect[0 0 50 50]/F 4/AP<</N 4 0 R>>>>"
    data = pdf(PdfPage(extra="/Annots[5 0 R]"), catalog="/AcroForm<</Fields[5 0 R]>>", objects=(look, field))
    assert drawn(reader, data)[90, 10].tolist() == [255, 0, 0]


def test_pages_are_counted_and_chosen_by_index(reader: PdfReader) -> None:
    with reader.open(pdf(*map(filled, COLOURS)), PAGE_LIMITS) as document:
        assert document.page_count == len(COLOURS)
        assert document.select_pages(None) == tuple(range(8))
        assert document.select_pages((3, 1)) == (3, 1)
        assert document.render(2)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("index", [-1, 8, 10_000])
def test_a_page_that_is_not_there_is_named(reader: PdfReader, index: int) -> None:
    with reader.open(pdf(*map(filled, COLOURS)), PAGE_LIMITS) as document:
        with pytest.raises(PdfPageNotFound, match=f"Page {index} .* has 8 pages"):
            document.render(index)
        with pytest.raises(PdfPageNotFound):
            document.select_pages((0, index))


def test_more_pages_than_a_task_takes_are_refused(reader: PdfReader) -> None:
    with reader.open(pdf(*[PdfPage()] * 51), PAGE_LIMITS) as document:
        with pytest.raises(PdfTooManyPages, match=r"takes 50: name fewer in `pages`"):
            document.select_pages(None)
        assert document.select_pages((50, 0)) == (50, 0)


def test_a_pdf_that_needs_a_password_is_refused(reader: PdfReader) -> None:
    with pytest.raises(PdfEncrypted, match="password"):
        reader.open(LOCKED, PAGE_LIMITS)


def test_a_pdf_without_pages_says_so_whatever_was_opened_before_it(reader: PdfReader) -> None:
    empty = pdf()
    for before in (None, LOCKED, b"%PDF-1.7 damaged", pdf(PdfPage())):
        if before is not None:
            with suppress(PdfError), reader.open(before, PAGE_LIMITS):
                pass
        with pytest.raises(PdfCorrupt, match="no pages"):
            reader.open(empty, PAGE_LIMITS)


def test_a_pdf_that_only_restricts_its_use_is_read(reader: PdfReader) -> None:
    assert drawn(reader, RESTRICTED)[5, 5].tolist() == [0, 0, 255]


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(1000), pdf(PdfPage())[:60], pdf()])
def test_a_damaged_pdf_is_refused(reader: PdfReader, data: bytes) -> None:
    with pytest.raises(PdfCorrupt):
        reader.open(data, PAGE_LIMITS)


@pytest.mark.parametrize(("width", "height"), [(14_400, 14_400), (14_400, 200), (612, 792)])
def test_a_page_is_drawn_smaller_rather_than_above_the_limits(width: int, height: int) -> None:
    limits = replace(PAGE_LIMITS, max_pixels=1_000_000, max_side=3_000)
    reader = PdfReader(PdfLimits(dpi=300))
    with reader.open(pdf(PdfPage(width=width, height=height)), limits) as document:
        rows, columns, _ = document.render(0).shape
    reader.close()
    assert rows * columns <= limits.max_pixels
    assert max(rows, columns) <= limits.max_side
    assert rows * columns > 0.95 * limits.max_pixels or max(rows, columns) == limits.max_side
    assert columns / rows == pytest.approx(width / height, rel=0.05)


def test_a_page_too_narrow_to_read_is_refused(reader: PdfReader) -> None:
    with pytest.raises(ImageTooNarrow):
        drawn(reader, pdf(PdfPage(width=2_000, height=10)))


def test_threads_get_the_pages_of_their_own_documents(reader: PdfReader) -> None:
    def corner(rgb: str) -> list[int]:
        return [int(each) for each in drawn(reader, pdf(filled(rgb)))[0, 0]]

    with ThreadPoolExecutor(8) as pool:
        corners = list(pool.map(corner, COLOURS * 5))
    expected = [[round(255 * float(part)) for part in reversed(rgb.split())] for rgb in COLOURS]
    assert np.abs(np.array(corners) - np.array(expected * 5)).max() <= 1


def test_a_page_that_draws_indefinitely_fails_alone() -> None:
    reader = PdfReader(replace(ONE_PIXEL_A_POINT, max_seconds=1.0))
    with reader.open(pdf(filled("0 0 1"), filled("1 0 0")), PAGE_LIMITS) as other:
        assert other.render(0)[0, 0].tolist() == [255, 0, 0]
        with (
            reader.open(pdf_of_forms_in_forms(), PAGE_LIMITS) as endless,
            pytest.raises(PdfCorrupt, match="within 1 s"),
        ):
            endless.render(0)
        assert other.render(1)[0, 0].tolist() == [0, 0, 255]
    reader.close()


def test_a_page_that_needs_too_much_memory_fails_alone() -> None:
    limits = replace(PAGE_LIMITS, max_pixels=200_000_000, max_side=20_000)
    reader = PdfReader(replace(ONE_PIXEL_A_POINT, max_memory=300_000_000))
    with (
        reader.open(pdf(PdfPage(width=14_000, height=14_000)), limits) as large,
        pytest.raises(PdfError),
    ):
        large.render(0)
    assert drawn(reader, pdf(filled("0 0 1")))[0, 0].tolist() == [255, 0, 0]
    reader.close()


def test_two_hundred_pages_leave_no_memory_behind() -> None:
    reader = PdfReader(PdfLimits(processes=1))
    page = PdfPage(width=595, height=842, drawing=text("Paddlewheel", 50, 700, 24) * 50)
    data = pdf(page) + b"%" * 1_000_000
    ours = psutil.Process()
    others = set(ours.children())
    drawn(reader, data)
    (theirs,) = set(ours.children()) - others
    for _ in range(20):
        drawn(reader, data)
    before = [each.memory_info().rss for each in (ours, theirs)]
    for _ in range(200):
        drawn(reader, data)
    after = [each.memory_info().rss for each in (ours, theirs)]
    assert max(after[0] - before[0], after[1] - before[1]) < 30_000_000
    reader.close()
    assert not theirs.is_running()


def test_the_process_that_draws_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLEWHEEL_BROKER_URL", "redis://:hunter2@host")
    reader = PdfReader(ONE_PIXEL_A_POINT)
    before = set(psutil.Process().children())
    drawn(reader, pdf(PdfPage()))
    (child,) = set(psutil.Process().children()) - before
    assert "PADDLEWHEEL_BROKER_URL" not in child.environ()
    reader.close()


def test_the_process_that_draws_ends_with_a_worker_that_is_killed() -> None:
    script = """
        import sys, time
        import psutil
        from tests.data.pdfs import PdfPage, pdf
        from workers.images.limits import PAGE_LIMITS
        from workers.images.pdf import PdfReader

        document = PdfReader().open(pdf(PdfPage()), PAGE_LIMITS)
        print(psutil.Process().children()[0].pid, flush=True)
        time.sleep(60)
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    with worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        worker.send_signal(signal.SIGKILL)
        psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


SAMPLE = pdf(
    PdfPage(drawing=rectangle(0, 0, 50, 50) + text("Paddlewheel", 10, 40, 24)),
    filled("0 1 0"),
    catalog="/A 1",
)


@given(
    position=st.integers(0, len(SAMPLE)),
    length=st.integers(0, 20),
    replacement=st.one_of(
        st.binary(max_size=20), st.sampled_from([b"-1", b"0", b"99999999999", b"<<", b"R"])
    ),
)
@settings(deadline=None, max_examples=300)
def test_whatever_the_bytes_only_typed_errors_and_pages_come_out(
    reader: PdfReader, position: int, length: int, replacement: bytes
) -> None:
    data = SAMPLE[:position] + replacement + SAMPLE[position + length :]
    try:
        image = drawn(reader, data)
    except (PdfError, ImageError) as err:
        assert err.message
    else:
        assert image.ndim == 3
        assert image.size <= 3 * PAGE_LIMITS.max_pixels


@pytest.mark.parametrize("box", ["0 0 0 0", "0 0 1e30 1e30", "5 5 5 500", "nan nan 1 1", "0 0 -200 -100"])
def test_a_page_of_an_odd_size_is_drawn_or_refused(reader: PdfReader, box: str) -> None:
    data = pdf(PdfPage(width=12345)).replace(b"0 0 12345 100", box.encode())
    try:
        image = drawn(reader, data)
    except (PdfError, ImageError):
        return
    assert image.size <= 3 * PAGE_LIMITS.max_pixels
