"""The in-memory clients, held to the contract of the real ones, and what only they can do."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, AsyncClient, Client, Pending, Priority, RecognizedText
from paddlewheel.contracts.text import ReadPages, RecognizeText
from paddlewheel.errors import (
    BlobExpired,
    BlobTooLarge,
    ConfigurationError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    ModelUnknown,
    ResultTimeout,
    TaskCancelled,
    TaskNotFound,
    UnsupportedSource,
)
from paddlewheel.in_memory import AsyncInMemoryClient, InMemoryClient
from tests.client_contract import HANDLERS, UNKNOWN_MODEL, ClientContract, recognize


class TestInMemoryClient(ClientContract):
    @pytest.fixture
    def client(self) -> Client:
        return InMemoryClient(HANDLERS)


@pytest.fixture
def client() -> InMemoryClient:
    return InMemoryClient(HANDLERS)


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("real", "stub"), [(Client, InMemoryClient), (AsyncClient, AsyncInMemoryClient)])
def test_every_public_method_has_the_real_ones_parameters(real: type, stub: type) -> None:
    for name, method in public(real).items():
        expected = inspect.signature(method).parameters.values()
        offered = inspect.signature(getattr(stub, name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in expected] == [
            (p.name, p.kind, p.default) for p in offered
        ]


def test_no_method_of_the_async_client_reaches_for_a_server() -> None:
    """Whatever the real client does with its connections, the stub does in another way."""
    for name, method in inspect.getmembers(AsyncClient, inspect.isfunction):
        source = inspect.getsource(method)
        if name not in ("__init__", "_publish_pipeline") and (
            "self._results" in source or "to_thread" in source
        ):
            assert name in vars(AsyncInMemoryClient), name


def test_a_task_waits_while_the_client_is_paused(client: InMemoryClient) -> None:
    with client.paused():
        pending = client.enqueue(RECOGNIZE_TEXT, b"x")
        assert pending.status().state == "queued"
        assert not pending.done()
        with pytest.raises(ResultTimeout, match="paused"):
            pending.result(timeout=60)
        with pytest.raises(ResultTimeout, match="1 tasks"):
            list(client.as_completed([pending]))
    assert pending.result().rec_score == 0.5


def test_a_waiting_task_can_be_cancelled(client: InMemoryClient) -> None:
    with client.paused():
        pending, other = (client.enqueue(RECOGNIZE_TEXT, b"x") for _ in range(2))
        pending.cancel()
        assert pending.status().state == "cancelled"
    with pytest.raises(TaskCancelled):
        pending.result()
    assert other.result().rec_score == 0.5


def test_items_that_travel_together_are_cancelled_together(client: InMemoryClient) -> None:
    with client.paused():
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [b"1", b"2"])
        pendings[0].cancel()
    for pending in pendings:
        with pytest.raises(TaskCancelled):
            pending.result()


def test_interactive_tasks_overtake_bulk_ones() -> None:
    order: list[str | None] = []

    def note(request: RecognizeText) -> RecognizedText:
        order.append(request.model)
        return recognize(request)

    client = InMemoryClient({RECOGNIZE_TEXT: note})
    priorities: list[Priority] = ["bulk", "interactive", "bulk", "interactive"]
    with client.paused():
        for at, priority in enumerate(priorities):
            client.enqueue(RECOGNIZE_TEXT, b"x", priority=priority, model=f"{priority}-{at}")
    assert order == ["interactive-1", "interactive-3", "bulk-0", "bulk-2"]


@pytest.mark.parametrize("deadline", [5, timedelta(seconds=5)])
def test_a_task_past_its_deadline_is_not_run(client: InMemoryClient, deadline: float | timedelta) -> None:
    client.advance(100)
    with client.paused():
        late = client.enqueue(RECOGNIZE_TEXT, b"x", deadline=deadline)
        early = client.enqueue(RECOGNIZE_TEXT, b"x", deadline=60)
        client.advance(6)
    with pytest.raises(DeadlineExceeded):
        late.result()
    assert early.result().rec_score == 0.5


def test_images_expire() -> None:
    client = InMemoryClient(HANDLERS, blob_ttl=60)
    ref = client.put(b"x")
    client.advance(61)
    with pytest.raises(BlobExpired, match="put the image again"):
        client.enqueue(RECOGNIZE_TEXT, ref).result()


def test_images_have_a_largest_size() -> None:
    with pytest.raises(BlobTooLarge):
        InMemoryClient(HANDLERS, max_blob_bytes=3).put(b"four")


def test_results_expire() -> None:
    client = InMemoryClient(HANDLERS, record_ttl=60)
    pending = client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="k")
    client.advance(61)
    with pytest.raises(TaskNotFound):
        client.status(pending.task_id)
    with pytest.raises(ResultTimeout, match="not known"):
        pending.result(timeout=1)
    assert client.enqueue(RECOGNIZE_TEXT, b"x", idempotency_key="k").result().rec_score == 0.5


def test_a_handler_sees_the_stored_bytes() -> None:
    def count(request: RecognizeText) -> RecognizedText:
        return RecognizedText(rec_text=str(len(own.load(request.image))), rec_score=1)

    own = InMemoryClient({RECOGNIZE_TEXT: count})
    assert own.enqueue(RECOGNIZE_TEXT, b"12345").result().rec_text == "5"


def test_a_result_is_named_after_its_image_as_a_worker_does(client: InMemoryClient) -> None:
    ref = client.put(b"x", name="photo.png")
    assert client.enqueue(RECOGNIZE_TEXT, ref).result().input_path == "photo.png"


def crash(request: RecognizeText) -> RecognizedText:
    raise ZeroDivisionError(f"no {request.model}")


def wrong(request: RecognizeText) -> Any:
    return request


@pytest.mark.parametrize(
    ("handler", "said"),
    [(crash, "ocr.recognize raised ZeroDivisionError: no None"), (wrong, "returned RecognizeText, not")],
)
def test_a_handlers_own_fault_is_an_internal_error_that_says_so(
    handler: Callable[[RecognizeText], Any], said: str
) -> None:
    client = InMemoryClient({RECOGNIZE_TEXT: handler})
    with pytest.raises(InternalError, match=said):
        client.enqueue(RECOGNIZE_TEXT, b"x").result()
    with pytest.raises(InternalError, match=said):
        client.enqueue_many(RECOGNIZE_TEXT, [b"x"])[0].result()


def test_a_task_without_a_handler_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"ocr\.read"):
        InMemoryClient({RECOGNIZE_TEXT: recognize}).enqueue(READ_PAGES, b"x")


def test_a_handler_may_enqueue_more() -> None:
    def forward(request: RecognizeText) -> RecognizedText:
        if request.model == "second":
            return RecognizedText(rec_text="done", rec_score=1)
        pending: Pending[RecognizedText] = own.enqueue(RECOGNIZE_TEXT, request.image, model="second")
        return pending.result()

    own = InMemoryClient({RECOGNIZE_TEXT: forward})
    assert own.enqueue(RECOGNIZE_TEXT, b"x").result().rec_text == "done"


def test_the_sync_client_works_inside_an_event_loop(client: InMemoryClient) -> None:
    async def inside() -> str:
        return client.enqueue(RECOGNIZE_TEXT, b"x").result().rec_text

    assert asyncio.run(inside()).endswith("default")


def test_a_client_is_closed_as_the_real_one_is() -> None:
    with InMemoryClient(HANDLERS) as client:
        assert client.put(b"x").blob.startswith("sha256:")


def test_the_async_client_answers_alike() -> None:
    async def work() -> None:
        async with AsyncInMemoryClient(HANDLERS) as client:
            pending = await client.enqueue(RECOGNIZE_TEXT, b"x", model="m1")
            assert (await pending.result(timeout=30)).rec_text.endswith(" m1")
            many = await client.enqueue_many(RECOGNIZE_TEXT, [b"1", b"2", b"3"])
            seen = [pending async for pending in client.as_completed(many, timeout=30)]
            assert seen == many
            assert await many[0].done()
            assert (await client.status(pending.task_id)).state == "succeeded"
            found = await client.pending(RECOGNIZE_TEXT, pending.task_id).result()
            assert found == await pending.result()
            failing = await client.enqueue(RECOGNIZE_TEXT, b"x", model=UNKNOWN_MODEL)
            with pytest.raises(ModelUnknown):
                await failing.result()
            with client.paused():
                waiting = await client.enqueue(RECOGNIZE_TEXT, (await client.put_many([b"9"]))[0])
                await waiting.cancel()
                with pytest.raises(ResultTimeout):
                    _ = [p async for p in client.as_completed([await client.enqueue(RECOGNIZE_TEXT, b"x")])]
            with pytest.raises(TaskCancelled):
                await waiting.result()

    asyncio.run(work())


def test_an_image_that_cannot_be_read_stops_no_other_of_many(client: InMemoryClient, tmp_path: Path) -> None:
    def sources() -> Iterator[Any]:
        yield b"x"
        yield tmp_path / "missing.png"
        yield [b"y", {"no": "image"}, b"z"]
        yield object()
        yield b"x" * 100

    client.as_async().blobs._max_bytes = 50  # type: ignore[attr-defined]
    pendings = client.enqueue_many(RECOGNIZE_TEXT, sources(), idempotency_key="run")
    assert [each.status().state for each in pendings] == [
        "succeeded", "failed", "succeeded", "failed", "succeeded", "failed", "failed"
    ]  # fmt: skip
    assert all(each.done() for each in client.as_completed(pendings))
    for at in (0, 2, 4):
        assert pendings[at].result().rec_score == 0.5
    for at in (1, 3, 5):
        with pytest.raises(UnsupportedSource):
            pendings[at].result()
    with pytest.raises(BlobTooLarge):
        pendings[6].result()
    pendings[6].cancel()


def test_a_repeat_with_a_mended_image_is_another_message(client: InMemoryClient, tmp_path: Path) -> None:
    path = tmp_path / "late.png"
    first = client.enqueue_many(RECOGNIZE_TEXT, [path, b"y"], idempotency_key="run")
    path.write_bytes(b"x")
    again = client.enqueue_many(RECOGNIZE_TEXT, [path, b"y"], idempotency_key="run")
    assert again[0].result().rec_score == 0.5
    assert first[1].task_id != again[1].task_id


def test_a_request_of_another_task_fails_alone(client: InMemoryClient) -> None:
    ref = client.put(b"x")
    wrong: Any = ReadPages(image=ref)
    right, failed = client.enqueue_many(RECOGNIZE_TEXT, [RecognizeText(image=ref), wrong])
    assert right.result().rec_score == 0.5
    with pytest.raises(InvalidRequest, match="takes a RecognizeText"):
        failed.result()


def test_a_name_that_is_too_long_for_a_reference_is_refused(client: InMemoryClient) -> None:
    with pytest.raises(InvalidRequest, match="input_path"):
        client.put(b"x", name="n" * 600)
