"""Bad input through the real queue: each is a typed error, and the worker keeps running."""

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Client, ImageRef
from paddlewheel.errors import (
    BlobExpired,
    BlobNotFound,
    DeadlineExceeded,
    ImageAnimated,
    ImageCorrupt,
    ImageEmpty,
    ImageTooLarge,
    ImageTooNarrow,
    ImageTooSmall,
    ImageUnsupported,
    InvalidRequest,
    ModelUnknown,
    PaddlewheelError,
    PdfCorrupt,
    PdfEncrypted,
    PdfPageNotFound,
    PdfTooManyPages,
)
from tests.acceptance.conftest import Service
from tests.data.pdfs import LOCKED, PdfPage, pdf
from tests.data.pictures import png_of_zeros

BOMB = png_of_zeros(30_000, 30_000)
NOT_STORED = ImageRef(blob="sha256:" + "0" * 64)


def encoded(width: int, height: int, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    noise = Image.effect_noise((width, height), 60).convert("RGB")
    noise.save(buffer, kind, **options)
    return buffer.getvalue()


LINES: dict[str, tuple[Callable[[], bytes], type[PaddlewheelError]]] = {
    "empty bytes": (lambda: b"", ImageEmpty),
    "a truncated JPEG": (lambda: encoded(200, 48, "JPEG")[:-400], ImageCorrupt),
    "a truncated PNG": (lambda: encoded(200, 48)[:-400], ImageCorrupt),
    "a text file": (lambda: b"Dear Sir or Madam,\n" * 20, ImageUnsupported),
    "a GIF": (lambda: encoded(100, 48, "GIF"), ImageUnsupported),
    "a PNG bomb": (lambda: BOMB, ImageTooLarge),
    "a 1 x 1 image": (lambda: encoded(1, 1), ImageTooSmall),
    "a line 40 times wider than high": (lambda: encoded(40 * 32, 32), ImageTooNarrow),
    "a PDF that is cut off": (lambda: pdf(PdfPage())[:60], PdfCorrupt),
    "an encrypted PDF": (lambda: LOCKED, PdfEncrypted),
}


@pytest.mark.parametrize("name", LINES)
def test_bad_bytes_are_a_typed_error_for_a_line(client: Client, name: str) -> None:
    make, expected = LINES[name]
    with pytest.raises(expected) as caught:
        client.enqueue(RECOGNIZE_TEXT, make()).result(60)
    assert type(caught.value) is expected
    assert caught.value.message.endswith(".")


def test_bad_bytes_among_many_fail_alone(client: Client, good_line: bytes) -> None:
    bad = [make() for make, _ in LINES.values()]
    mixed = [part for each in bad for part in (good_line, each)] + [good_line]
    pendings = client.enqueue_many(RECOGNIZE_TEXT, mixed)
    for i, pending in enumerate(pendings):
        if i % 2:
            with pytest.raises(list(LINES.values())[i // 2][1]):
                pending.result(60)
        else:
            assert pending.result(60).rec_text == "page 7731"


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (lambda: encoded(300, 200)[:-900], {}, ImageCorrupt),
        (lambda: LOCKED, {}, PdfEncrypted),
        (lambda: pdf(PdfPage(), PdfPage()), {"pages": (2,)}, PdfPageNotFound),
        (lambda: pdf(*[PdfPage()] * 60), {}, PdfTooManyPages),
        (lambda: encoded(300, 200), {"recognition_model": "nope"}, ModelUnknown),
        (lambda: encoded(300, 200), {"detection_model": "nope"}, ModelUnknown),
    ],
    ids=["truncated", "encrypted", "page not there", "too many pages", "recognizer", "detector"],
)
def test_bad_input_is_a_typed_error_for_a_page(
    client: Client, make: Callable[[], bytes], options: dict[str, Any], expected: type[PaddlewheelError]
) -> None:
    with pytest.raises(expected) as caught:
        client.enqueue(READ_PAGES, make(), **options).result(60)
    assert type(caught.value) is expected


def test_an_animation_is_refused(client: Client) -> None:
    buffer = BytesIO()
    frames = [Image.new("RGB", (100, 40), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageAnimated):
        client.enqueue(RECOGNIZE_TEXT, buffer.getvalue()).result(60)


def test_a_bomb_does_not_grow_the_worker(service: Service, client: Client) -> None:
    with pytest.raises(ImageTooLarge):
        client.enqueue(RECOGNIZE_TEXT, BOMB).result(60)
    before = service.worker().memory_info().rss
    for _ in range(5):
        with pytest.raises(ImageTooLarge):
            client.enqueue(READ_PAGES, BOMB).result(60)
    assert service.worker().memory_info().rss - before < 50_000_000


def test_an_unknown_blob_is_not_found(client: Client) -> None:
    with pytest.raises(BlobNotFound):
        client.enqueue(RECOGNIZE_TEXT, NOT_STORED).result(60)


def test_a_blob_that_outlived_its_time_says_so(service: Service) -> None:
    with Client(service.url, blob_ttl=1) as client:
        ref = client.put(encoded(97, 31))
        assert ref.expires_at is not None
        while time.time() <= ref.expires_at + 0.2:
            time.sleep(0.05)
        with pytest.raises(BlobExpired):
            client.enqueue(RECOGNIZE_TEXT, ref).result(60)


def test_an_unknown_model_is_named_with_those_there_are(client: Client, good_line: bytes) -> None:
    with pytest.raises(ModelUnknown, match="PP-OCRv6_small_rec"):
        client.enqueue(RECOGNIZE_TEXT, good_line, model="nope").result(60)


def test_a_task_past_its_deadline_never_reaches_a_model(client: Client, good_line: bytes) -> None:
    with pytest.raises(DeadlineExceeded):
        client.enqueue(RECOGNIZE_TEXT, good_line, deadline=0).result(60)


def test_a_request_that_no_client_of_ours_would_send_is_refused(service: Service) -> None:
    from celery import Celery

    with Celery("plain", broker=service.url, set_as_current=False) as app:
        sent = app.send_task("ocr.recognize", args=[{"imag": "typo"}], queue="gpu")
        with Client(service.url) as client, pytest.raises(InvalidRequest, match="image"):
            client.pending(RECOGNIZE_TEXT, sent.id).result(60)
