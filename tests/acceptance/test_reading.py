"""Pages and lines through the whole service."""

import asyncio
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from benchmarks.lines import render_lines
from local.rendering import draw_line, draw_page
from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, AsyncClient, Client
from paddlewheel.errors import TaskCancelled
from tests.acceptance.conftest import Service

PRINTED = [
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
]


def letters(text: str) -> str:
    return "".join(text.split())


def printed_page(scale: int = 2) -> Image.Image:
    page = Image.fromarray(data.page()).convert("RGB")  # type: ignore[no-untyped-call]
    return page.resize((page.width * scale, page.height * scale), Image.Resampling.BICUBIC)


def test_a_printed_page_is_read_line_by_line(client: Client) -> None:
    document = client.enqueue(READ_PAGES, printed_page()).result(60)
    (page,) = document.pages
    assert (page.width, page.height, page.page_index) == (768, 382, None)
    assert [letters(text) for text in page.rec_texts[:6]] == [letters(text) for text in PRINTED]
    assert "markers" in page.rec_texts[6]
    assert "zeros_like(coins)" in page.rec_texts[6]
    tops = [polygon[0][1] for polygon in page.dt_polys]
    assert tops == sorted(tops)
    assert all(0 <= x <= 768 and 0 <= y <= 382 for polygon in page.dt_polys for x, y in polygon)


def test_a_page_that_lies_upside_down_is_read_with_its_lines_turned(client: Client) -> None:
    turned = printed_page().rotate(180)
    (page,) = client.enqueue(READ_PAGES, turned).result(60).pages
    found = {letters(text) for text in page.rec_texts}
    assert len(found & {letters(text) for text in PRINTED}) >= 4
    assert page.angles.count(180) >= 5
    (untouched,) = client.enqueue(READ_PAGES, turned, orientation=False).result(60).pages
    assert set(untouched.angles) <= {0}


def test_a_photo_with_an_exif_orientation_is_read_upright(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    printed_page().rotate(90, expand=True).save(buffer, "JPEG", quality=95, exif=exif)
    (page,) = client.enqueue(READ_PAGES, buffer.getvalue()).result(60).pages
    assert (page.width, page.height) == (768, 382)
    assert letters(page.rec_texts[0]) == letters(PRINTED[0])


def test_the_pages_of_a_pdf_come_back_with_their_index(client: Client) -> None:
    pages = [draw_page([f"Chapter {word}"]) for word in ("one", "two", "three", "four")]
    buffer = BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    pdf = buffer.getvalue()
    document = client.enqueue(READ_PAGES, pdf).result(90)
    assert document.page_count == 4
    assert [page.page_index for page in document.pages] == [0, 1, 2, 3]
    texts = [letters("".join(page.rec_texts)) for page in document.pages]
    assert texts == ["Chapterone", "Chaptertwo", "Chapterthree", "Chapterfour"]
    some = client.enqueue(READ_PAGES, pdf, pages=(3, 1)).result(90)
    assert [page.page_index for page in some.pages] == [3, 1]


def test_a_line_on_a_page_of_a_pdf_is_recognized(client: Client) -> None:
    lines = [draw_line(f"number {i}", 60) for i in range(3)]
    buffer = BytesIO()
    lines[0].save(buffer, "PDF", save_all=True, append_images=lines[1:], resolution=144)
    line = client.enqueue(RECOGNIZE_TEXT, buffer.getvalue(), page_index=2).result(60)
    assert line.page_index == 2
    assert letters(line.rec_text) == "number2"


def test_a_page_without_text_has_no_lines(client: Client) -> None:
    blank = Image.new("RGB", (640, 480), "white")
    (page,) = client.enqueue(READ_PAGES, blank).result(60).pages
    assert page.rec_texts == ()
    assert page.dt_polys == ()


def test_lines_in_one_message_or_each_in_its_own_are_answered_alike(client: Client) -> None:
    lines = [line.png for line in render_lines(60, seed=3)]
    together = [p.result(120) for p in client.enqueue_many(RECOGNIZE_TEXT, lines)]
    alone = [p.result(120) for p in [client.enqueue(RECOGNIZE_TEXT, line) for line in lines]]
    assert [r.rec_text for r in together] == [r.rec_text for r in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.rec_score == pytest.approx(other.rec_score, abs=1e-4)


async def test_the_asyncio_client_reads_many_at_once(service: Service) -> None:
    lines = render_lines(40, seed=11, longest=3)
    async with AsyncClient(service.url) as client:
        pendings = [await client.enqueue(RECOGNIZE_TEXT, line.png) for line in lines]
        results = await asyncio.gather(*(pending.result(120) for pending in pendings))
    right = sum(letters(r.rec_text) == letters(line.text) for r, line in zip(results, lines, strict=True))
    assert right >= 34


def test_a_task_that_is_cancelled_while_it_waits_never_runs(client: Client) -> None:
    busy = client.enqueue_many(RECOGNIZE_TEXT, [line.png for line in render_lines(200, seed=5, longest=1)])
    unwanted = client.enqueue(RECOGNIZE_TEXT, draw_line("unwanted", 30), priority="bulk")
    unwanted.cancel()
    with pytest.raises(TaskCancelled):
        unwanted.result(120)
    assert unwanted.status().state == "cancelled"
    for pending in busy:
        pending.result(120)


def test_an_interactive_task_overtakes_a_queue_of_bulk_work(client: Client) -> None:
    bulk = client.enqueue_many(RECOGNIZE_TEXT, [line.png for line in render_lines(400, seed=6, longest=1)])
    client.enqueue(RECOGNIZE_TEXT, draw_line("urgent", 30)).result(120)
    waiting = {pending.task_id for pending in bulk if not pending.done()}
    assert len(waiting) >= 5
    for pending in bulk:
        pending.result(180)


def test_a_result_draws_itself_on_the_picture_that_the_service_has(client: Client, tmp_path: Path) -> None:
    document = client.enqueue(READ_PAGES, printed_page()).result(60)
    (written,) = document.save_to_img(tmp_path)
    with Image.open(written) as picture:
        assert picture.width > 768
    assert document.pages[0].json["res"]["rec_texts"][0] == "Region-based segmentation"


def test_a_killed_model_process_costs_nobody_an_answer(service: Service, client: Client) -> None:
    lines = [line.png for line in render_lines(120, seed=8, longest=3)]
    expected = [p.result(120).rec_text for p in client.enqueue_many(RECOGNIZE_TEXT, lines)]
    pendings = client.enqueue_many(RECOGNIZE_TEXT, lines)
    victim = service.model_process()
    next(client.as_completed(pendings, timeout=120))
    victim.kill()
    began = time.monotonic()
    assert [pending.result(120).rec_text for pending in pendings] == expected
    print(f"everything answered {time.monotonic() - began:.1f} s after a model process was killed")
    assert service.model_process().pid != victim.pid
