"""What goes wrong in a worker arrives as a typed error, through the real queue, and harms nobody else."""

import hashlib
from collections.abc import Iterator

import pytest
from PIL import Image
from redis import Redis

from job_store.dead_letter_outbox import DeadLetterOutbox
from local.rendering import png
from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Client, ImageRef
from paddlewheel.errors import (
    BlobCorrupt,
    BlobStoreUnavailable,
    BlobTooLarge,
    ImageTooLarge,
    InternalError,
    ModelCrashed,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    PaddlewheelError,
)
from tests.acceptance.conftest import faulty_service, running_service

# Lines that fill their tensor, so that it is of one colour.
CRASHES = png(Image.new("RGB", (320, 48), "black"))
HANGS = png(Image.new("RGB", (320, 48), "white"))
RAISES = png(Image.new("RGB", (320, 48), (90, 90, 90)))
CONFUSES = png(Image.merge("RGB", [Image.new("L", (320, 48), v) for v in (10, 20, 30)]))


@pytest.fixture(scope="module")
def faulty() -> Iterator[Client]:
    with faulty_service("open_marked", PADDLEWHEEL_BATCH_TIMEOUT="1") as client:
        yield client


@pytest.mark.parametrize(
    ("line", "expected"),
    [(CRASHES, ModelCrashed), (HANGS, ModelTimeout), (RAISES, ModelFailed)],
    ids=["crash", "hang", "raise"],
)
def test_a_line_that_breaks_the_model_is_the_only_one_to_fail(
    faulty: Client, good_line: bytes, line: bytes, expected: type[PaddlewheelError]
) -> None:
    pendings = faulty.enqueue_many(RECOGNIZE_TEXT, [good_line, good_line, line, good_line])
    with pytest.raises(expected) as caught:
        pendings[2].result(120)
    assert type(caught.value) is expected
    # What costs a model process is kept for an operator, without its neighbours.
    with Redis.from_url(faulty._async._addresses.results) as redis:
        letters = [each for each in DeadLetterOutbox(redis).waiting() if each.task_id == pendings[2].task_id]
    kept = [(each.error_code, len(each.request["items"])) for each in letters]
    assert kept == ([] if expected is ModelFailed else [(expected.code, 1)])
    for i in (0, 1, 3):
        assert pendings[i].result(120).rec_text == "page 7731"
    with pytest.raises(expected):
        faulty.enqueue(RECOGNIZE_TEXT, line).result(120)
    assert faulty.enqueue(RECOGNIZE_TEXT, good_line).result(120).rec_text == "page 7731"


def test_a_model_that_answers_nonsense_is_an_internal_error(faulty: Client) -> None:
    with pytest.raises(InternalError, match="worker's log"):
        faulty.enqueue(RECOGNIZE_TEXT, CONFUSES).result(60)
    (pending,) = faulty.enqueue_many(RECOGNIZE_TEXT, [CONFUSES])
    with pytest.raises(InternalError, match="worker's log"):
        pending.result(60)


def test_a_model_that_cannot_be_started_again_is_unavailable(good_line: bytes) -> None:
    with faulty_service("open_once") as client:
        assert client.enqueue(RECOGNIZE_TEXT, good_line).result(120).rec_text == "page 7731"
        with pytest.raises(ModelUnavailable):
            client.enqueue(RECOGNIZE_TEXT, CRASHES).result(120)


def test_bytes_that_are_not_those_of_the_reference_are_refused(faulty: Client, good_line: bytes) -> None:
    digest = hashlib.sha256(b"something else").hexdigest()
    with Redis.from_url(faulty._async._addresses.blobs) as redis:
        redis.set(f"paddlewheel:blob:{digest}", good_line, ex=60)
    with pytest.raises(BlobCorrupt):
        faulty.enqueue(RECOGNIZE_TEXT, ImageRef(blob=f"sha256:{digest}")).result(60)


def test_the_workers_own_limits_hold_whatever_the_client_allows(good_line: bytes) -> None:
    small = running_service(PADDLEWHEEL_MAX_BLOB_BYTES="20000", PADDLEWHEEL_MAX_PIXELS="100000")
    with small as service, Client(service.url) as client:
        noise = Image.effect_noise((300, 300), 80).convert("RGB")
        with pytest.raises(BlobTooLarge):
            client.enqueue(READ_PAGES, noise).result(60)
        with pytest.raises(ImageTooLarge):
            client.enqueue(READ_PAGES, Image.new("RGB", (400, 400))).result(60)
        assert client.enqueue(RECOGNIZE_TEXT, good_line).result(60).rec_text == "page 7731"


def test_a_blob_store_that_stays_away_is_reported_after_the_retries() -> None:
    away = {"PADDLEWHEEL_BLOB_URL": "redis://127.0.0.1:1/0"}
    with faulty_service("open_marked", **away) as client, pytest.raises(BlobStoreUnavailable):
        client.enqueue(RECOGNIZE_TEXT, ImageRef(blob="sha256:" + "0" * 64)).result(120)
