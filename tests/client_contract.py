"""What every client has to do, whatever is behind it. Each client's tests inherit these.

A backend's `client` answers the tasks of HANDLERS by their functions below.
"""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlewheel import (
    DESCRIBE_GALLERY,
    EXTRACT_FEATURE,
    READ_PAGES,
    RECOGNIZE_TEXT,
    RECOGNIZE_TEXTS,
    Client,
    DescribeGallery,
    ExtractedFeature,
    ExtractFeature,
    GalleryDescription,
    ImageRef,
    RecognizedText,
)
from paddlewheel.contracts.text import Page, ReadDocument, ReadPages, RecognizeText, RecognizeTexts
from paddlewheel.errors import (
    BlobNotFound,
    GalleryNotFound,
    InvalidRequest,
    ModelUnknown,
    TaskNotFound,
    UnsupportedSource,
)
from paddlewheel.wire.in_memory import Handlers

UNKNOWN_MODEL = "no-such-model"


def recognize(request: RecognizeText) -> RecognizedText:
    """The image's own address as its text, so that no answer can be another image's."""
    if request.model == UNKNOWN_MODEL:
        raise ModelUnknown(f"There is no model {request.model}.")
    return RecognizedText(rec_text=f"{request.image.blob} {request.model or 'default'}", rec_score=0.5)


def read(request: ReadPages) -> ReadDocument:
    """A page for each that was asked for, with its index as its text."""
    pages = [
        Page(
            page_index=index,
            width=10,
            height=10,
            dt_polys=(((0, 0), (9, 0), (9, 9), (0, 9)),),
            dt_scores=(0.9,),
            rec_texts=(f"page {index}",),
            rec_scores=(0.8,),
            angles=(0,),
        )
        for index in request.pages or (0,)
    ]
    return ReadDocument(page_count=len(pages), pages=tuple(pages))


def extract(request: ExtractFeature) -> ExtractedFeature:
    """The image's own address as its feature."""
    if request.model == UNKNOWN_MODEL:
        raise ModelUnknown(f"There is no model {request.model}.")
    feature = tuple(float(each) for each in bytes.fromhex(request.image.blob[7:]))
    return ExtractedFeature(feature=feature, dimension=len(feature), model="m")


def describe(request: DescribeGallery) -> GalleryDescription:
    """A gallery whose vectors are the letters of its key."""
    if request.gallery == "nobody":
        raise GalleryNotFound("There is no gallery 'nobody'.")
    return GalleryDescription(
        gallery=request.gallery,
        kind="faces",
        model="m",
        model_fingerprint=None,
        dimension=2,
        metric="IP",
        index_type="auto",
        precision="fp16",
        vectors=len(request.gallery),
        unsealed=0,
        tombstones=0,
        segments=0,
        file_bytes=0,
        generation=1,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


HANDLERS: Handlers = {
    READ_PAGES: read,
    RECOGNIZE_TEXT: recognize,
    EXTRACT_FEATURE: extract,
    DESCRIBE_GALLERY: describe,
}


class ClientContract:
    """What every client keeps; a subclass brings the fixture `client`."""

    def test_a_result_is_typed_and_belongs_to_its_image(self, client: Client) -> None:
        pendings = [client.enqueue(RECOGNIZE_TEXT, bytes([at])) for at in range(1, 9)]
        results = [pending.result(30) for pending in pendings]
        assert all(isinstance(result, RecognizedText) for result in results)
        assert [r.rec_text for r in results] == [f"{p.image.blob} default" for p in pendings]

    def test_options_are_fields_of_the_request(self, client: Client) -> None:
        assert client.enqueue(RECOGNIZE_TEXT, b"x", model="m1").result(30).rec_text.endswith(" m1")
        document = client.enqueue(READ_PAGES, b"x", pages=(3, 1)).result(30)
        assert document.text == "page 3\n\npage 1"

    @pytest.mark.parametrize("options", [{"modle": "m1"}, {"model": "../m1"}, {"page_index": -1}])
    def test_options_that_do_not_fit_the_contract_are_refused_at_once(
        self, client: Client, options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            client.enqueue(RECOGNIZE_TEXT, b"x", **options)

    def test_a_whole_request_can_be_enqueued_and_takes_no_options(self, client: Client) -> None:
        request = RecognizeText(image=client.put(b"x"), model="m1")
        assert client.enqueue(RECOGNIZE_TEXT, request).result(30).rec_text.endswith(" m1")
        with pytest.raises(InvalidRequest, match="not both"):
            client.enqueue(RECOGNIZE_TEXT, request, model="m2")

    def test_a_reference_serves_any_number_of_tasks(self, client: Client) -> None:
        ref = client.put(b"x", name="the name")
        assert ref.input_path == "the name"
        texts = {client.enqueue(RECOGNIZE_TEXT, ref).result(30).rec_text for _ in range(3)}
        assert texts == {f"{ref.blob} default"}

    def test_many_come_back_in_the_order_of_the_images(self, client: Client, tmp_path: Path) -> None:
        (tmp_path / "b.png").write_bytes(b"in a folder")
        images = [b"%d" % at for at in range(40)]
        nested: list[Any] = [images[:20], [images[20:]], tmp_path]
        pendings = client.enqueue_many(RECOGNIZE_TEXT, nested)
        assert [p.result(30).rec_text.split()[0] for p in pendings] == [
            p.image.blob for p in pendings if p.image
        ]
        stored = client.put_many([*images, tmp_path / "b.png"])
        assert [p.image.blob for p in pendings] == [ref.blob for ref in stored]
        assert len({p.image.blob for p in pendings}) == 41

    def test_one_image_in_place_of_many_is_refused_with_a_sentence(self, client: Client) -> None:
        ref = client.put(b"x")
        request = RecognizeText(image=ref)
        one: list[Any] = ["scan.png", b"x", bytearray(b"x"), Path("scans"), ref, request, {"img": b"x"}]
        for each in [*one, io.BytesIO(b"x"), np.zeros((4, 4, 3), np.uint8), None, 7]:
            with pytest.raises(InvalidRequest, match="put it into a list"):
                client.enqueue_many(RECOGNIZE_TEXT, each)
        assert client.enqueue_many(RECOGNIZE_TEXT, iter([ref]))[0].result(30).rec_text.endswith("default")

    def test_arrays_of_pictures_and_of_their_names_are_many(self, client: Client, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"in a folder")
        names = np.array([str(tmp_path / "a.png")] * 2)
        assert len(client.enqueue_many(RECOGNIZE_TEXT, names)) == 2
        assert len(client.enqueue_many(RECOGNIZE_TEXT, np.zeros((3, 4, 4, 3), np.uint8))) == 3

    def test_one_of_many_that_fails_leaves_the_others_alone(self, client: Client) -> None:
        ref = client.put(b"x")
        models = [None, UNKNOWN_MODEL, "m1"]
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [RecognizeText(image=ref, model=m) for m in models])
        assert pendings[0].result(30).rec_text.endswith("default")
        with pytest.raises(ModelUnknown, match="no model no-such-model"):
            pendings[1].result(30)
        assert pendings[2].result(30).rec_text.endswith("m1")

    def test_items_can_be_sent_in_a_message_of_their_own(self, client: Client) -> None:
        items = tuple(RecognizeText(image=client.put(b"x"), model=m) for m in ("m1", UNKNOWN_MODEL))
        first, second = client.enqueue(RECOGNIZE_TEXTS, RecognizeTexts(items=items)).result(30).items
        assert first.result is not None
        assert second.error is not None
        assert second.error.code == "model_unknown"

    def test_pictures_travel_together_as_lines_do(self, client: Client) -> None:
        requests = [ExtractFeature(image=client.put(b"%d" % at)) for at in range(20)]
        requests[7] = requests[7].model_copy(update={"model": UNKNOWN_MODEL})
        pendings = client.enqueue_many(EXTRACT_FEATURE, requests)
        assert len({pending.task_id for pending in pendings}) == 2
        for at, pending in enumerate(pendings):
            if at == 7:
                with pytest.raises(ModelUnknown):
                    pending.result(30)
            else:
                assert pending.result(30) == extract(requests[at])

    def test_a_task_without_an_image_is_enqueued_as_its_request(self, client: Client) -> None:
        found = client.enqueue(DESCRIBE_GALLERY, DescribeGallery(gallery="staff")).result(30)
        assert (found.gallery, found.vectors) == ("staff", 5)
        with pytest.raises(GalleryNotFound):
            client.enqueue(DESCRIBE_GALLERY, DescribeGallery(gallery="nobody")).result(30)
        with pytest.raises(InvalidRequest, match="DescribeGallery"):
            client.enqueue(DESCRIBE_GALLERY, RecognizeText(image=client.put(b"x")))  # type: ignore[misc]

    def test_a_typed_error_reaches_the_caller_and_the_status(self, client: Client) -> None:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x", model=UNKNOWN_MODEL)
        for _ in range(2):
            with pytest.raises(ModelUnknown, match="There is no model no-such-model"):
                pending.result(30)
        status = pending.status()
        assert status.state == "failed"
        assert status.error is not None
        assert status.error.code == "model_unknown"

    def test_a_finished_task_is_found_by_its_id(self, client: Client) -> None:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        result = pending.result(30)
        assert pending.done()
        assert client.status(pending.task_id).state == "succeeded"
        assert client.pending(RECOGNIZE_TEXT, pending.task_id).result(30) == result
        client.cancel(pending.task_id)
        assert client.status(pending.task_id).state == "succeeded"

    @pytest.mark.parametrize("ask", [Client.status, Client.cancel])
    def test_an_unknown_id_is_not_found(self, client: Client, ask: Callable[[Client, str], object]) -> None:
        with pytest.raises(TaskNotFound):
            ask(client, "no such task")

    def test_the_same_idempotency_key_is_the_same_task(self, client: Client) -> None:
        one = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="order 7")
        two = client.enqueue(RECOGNIZE_TEXT, b"another", idempotency_key="order 7")
        other = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="order 8")
        assert one.task_id == two.task_id != other.task_id
        assert one.result(30) == two.result(30)

    def test_an_image_that_was_never_put_is_not_found(self, client: Client) -> None:
        missing = ImageRef(blob="sha256:" + "0" * 64)
        with pytest.raises(BlobNotFound):
            client.enqueue(RECOGNIZE_TEXT, missing).result(30)

    def test_a_source_that_is_none_is_refused_before_it_is_sent(self, client: Client) -> None:
        with pytest.raises(UnsupportedSource):
            client.enqueue(RECOGNIZE_TEXT, "no such file.png")

    def test_each_pending_is_yielded_once_with_its_outcome(self, client: Client) -> None:
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [b"%d" % at for at in range(20)])
        pendings.append(client.enqueue(RECOGNIZE_TEXT, b"x", model=UNKNOWN_MODEL))
        seen = list(client.as_completed(pendings, timeout=30))
        assert sorted(map(id, seen)) == sorted(map(id, pendings))
        assert all(pending.done() for pending in seen)

    def test_a_deadline_may_be_a_timedelta(self, client: Client) -> None:
        pending = client.enqueue(RECOGNIZE_TEXT, b"x", deadline=timedelta(minutes=5))
        assert pending.result(30).rec_score == 0.5

    def test_a_result_knows_its_picture(self, client: Client) -> None:
        pytest.importorskip("PIL")
        with pytest.raises(Exception, match="JPEG, PNG, WebP or BMP"):
            client.enqueue(RECOGNIZE_TEXT, b"no picture").result(30).draw()
