"""Task bodies and their binding, without a broker: Celery runs the task in this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from paddlewheel.contracts.base import ItemError
from paddlewheel.contracts.known_tasks import SERVICE_TASKS, TASKS
from paddlewheel.contracts.text import RECOGNIZE_TEXT, RECOGNIZE_TEXTS, RecognizedText, RecognizedTexts
from paddlewheel.errors import (
    BlobStoreUnavailable,
    DeadlineExceeded,
    ImageCorrupt,
    InternalError,
    InvalidRequest,
    ModelCrashed,
    ModelTimeout,
    ModelUnknown,
    PaddlewheelError,
    TaskCancelled,
    WorkerLost,
)
from tasks import MODULES, steps
from tasks import resources as installed
from tasks.context import TaskContext
from tasks.delivery import Delivery, fatal_items
from tasks.steps import Steps
from tasks.text import recognize_text

REQUEST = {"image": {"blob": "sha256:" + "0" * 64}}


class FakeText:
    """Answers with the task's context in the text; raises the error that it is given."""

    error: Exception | None = None
    seen: TaskContext | None = None

    def recognize(self, request: Any, task: TaskContext) -> Steps[RecognizedText]:
        del request
        self.seen = task
        yield
        if self.error:
            raise self.error
        return RecognizedText(rec_text="a", rec_score=1.0)


class FakeCancellations:
    """Some ids are cancelled from the start, `late` once the body has run."""

    def __init__(self) -> None:
        self.cancelled: set[str] = set()
        self.running: list[str] = []

    def register(self, task_id: str) -> None:
        self.running.append(task_id)

    def is_cancelled(self, task_id: str) -> bool:
        return task_id in self.cancelled

    def unregister(self, task_id: str) -> None:
        self.running.remove(task_id)


class FakeDeliveries:
    """Counts nothing; remembers what was buried."""

    def __init__(self) -> None:
        self.counted_ids: list[str] = []
        self.buried: list[tuple[Delivery, PaddlewheelError]] = []
        self.error: PaddlewheelError | None = None

    @contextmanager
    def track(self, delivery: Delivery) -> Iterator[None]:
        if self.error:
            raise self.error
        self.counted_ids.append(delivery.task_id)
        yield

    def record_dead_letter(self, delivery: Delivery, err: PaddlewheelError) -> None:
        self.buried.append((delivery, err))


class FakeResources:
    def __init__(self) -> None:
        self.deliveries = FakeDeliveries()
        self.images: Any = None
        self.text: Any = FakeText()
        self.faces: Any = None
        self.pictures: Any = None
        self.galleries: Any = None
        self.batch_jobs: Any = None
        self.cancellations = FakeCancellations()


@pytest.fixture
def fakes() -> Iterator[FakeResources]:
    fakes = FakeResources()
    installed.install(fakes)
    yield fakes
    installed._installed.clear()


@pytest.fixture(scope="module")
def app() -> Celery:
    app = Celery("unit", set_as_current=False)
    app.conf.update(task_always_eager=True, task_eager_propagates=False, task_store_eager_result=False)
    app.finalize()
    return app


def run(app: Celery, request: object, **options: Any) -> Any:
    result = app.tasks[RECOGNIZE_TEXT.name].apply(args=(request,), **options)
    return result.result


def test_every_contract_has_a_task_and_no_task_lacks_one() -> None:
    app = Celery("tasks", set_as_current=False, include=list(MODULES))
    app.loader.import_default_modules()
    assert {spec.name for spec in (*TASKS, *SERVICE_TASKS)} == {
        name for name in app.tasks if not name.startswith("celery.")
    }


def test_a_body_is_an_ordinary_function(fakes: FakeResources) -> None:
    request = RECOGNIZE_TEXT.request.model_validate(REQUEST)
    context = TaskContext(task_id="t")
    assert steps.run(recognize_text(request, context)).rec_text == "a"
    assert fakes.text.seen is context


def test_the_answer_is_plain_json(app: Celery, fakes: FakeResources) -> None:
    answer = run(app, REQUEST, task_id="t")
    assert answer == {
        "input_path": None,
        "page_index": None,
        "served": None,
        "rec_text": "a",
        "rec_score": 1.0,
    }
    assert fakes.cancellations.running == []


@pytest.mark.parametrize("request_", [{}, {"image": {"blob": "x"}}, "text", None, {**REQUEST, "extra": 1}])
def test_a_request_that_does_not_fit_is_refused_without_its_values(
    app: Celery, fakes: FakeResources, request_: object
) -> None:
    del fakes
    answer = run(app, request_)
    assert isinstance(answer, InvalidRequest)
    assert "contract" in answer.message


def test_a_cancelled_task_never_reaches_its_body(app: Celery, fakes: FakeResources) -> None:
    fakes.cancellations.cancelled.add("t")
    assert isinstance(run(app, REQUEST, task_id="t"), TaskCancelled)
    assert fakes.text.seen is None
    assert fakes.cancellations.running == []


def test_an_answer_that_was_cancelled_meanwhile_is_discarded(app: Celery, fakes: FakeResources) -> None:
    class Slow(FakeText):
        def recognize(self, request: Any, task: TaskContext) -> Steps[RecognizedText]:
            fakes.cancellations.cancelled.add(task.task_id)
            return super().recognize(request, task)

    fakes.text = Slow()
    assert isinstance(run(app, REQUEST, task_id="t"), TaskCancelled)


def test_a_task_past_its_deadline_never_reaches_its_body(app: Celery, fakes: FakeResources) -> None:
    assert isinstance(run(app, REQUEST, headers={"deadline": time.time() - 1}), DeadlineExceeded)
    assert fakes.text.seen is None


def test_a_deadline_that_is_not_a_number_is_refused(app: Celery, fakes: FakeResources) -> None:
    del fakes
    assert isinstance(run(app, REQUEST, headers={"deadline": "soon"}), InvalidRequest)


def test_the_body_learns_deadline_priority_and_queue_time(app: Celery, fakes: FakeResources) -> None:
    deadline = time.time() + 60
    run(app, REQUEST, headers={"deadline": deadline, "enqueued_at": time.time() - 1})
    assert fakes.text.seen is not None
    assert fakes.text.seen.deadline == deadline
    assert fakes.text.seen.priority == "interactive"
    assert fakes.text.seen.queue_ms == pytest.approx(1000, abs=500)


def test_a_typed_error_goes_to_the_caller_as_it_is(app: Celery, fakes: FakeResources) -> None:
    fakes.text.error = ModelUnknown("no such model")
    answer = run(app, REQUEST)
    assert isinstance(answer, ModelUnknown)
    assert answer.message == "no such model"


def test_an_unexpected_error_shows_nothing_of_the_inside(
    app: Celery, fakes: FakeResources, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.text.error = ZeroDivisionError("secret detail")
    answer = run(app, REQUEST, task_id="t-1")
    assert isinstance(answer, InternalError)
    assert "secret" not in answer.message
    assert "t-1" in answer.message
    assert "secret detail" in caplog.text


def test_a_lost_connection_is_tried_again_and_finally_reported(
    app: Celery, fakes: FakeResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.binding.RETRY_SECONDS", 0.0)
    tries = []

    class Away(FakeText):
        def recognize(self, request: Any, task: TaskContext) -> Steps[RecognizedText]:
            del request
            tries.append(task.task_id)
            raise BlobStoreUnavailable("away")

    fakes.text = Away()
    answer = run(app, REQUEST)
    assert isinstance(answer, PaddlewheelError)
    assert answer.code == "blob_store_unavailable"
    assert len(tries) == 6


def test_a_task_that_cannot_be_sent_again_is_not_dropped(
    app: Celery, fakes: FakeResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsent(*_: object, **__: object) -> None:
        raise Reject(ConnectionError("the broker is away too"), requeue=False)

    fakes.text.error = BlobStoreUnavailable("away")
    monkeypatch.setattr(app.tasks[RECOGNIZE_TEXT.name], "retry", unsent)
    refused = app.tasks[RECOGNIZE_TEXT.name].apply(args=(REQUEST,))
    state: str = refused.state
    assert state == "REJECTED"
    rejected: Any = refused.result
    assert isinstance(rejected, Reject)
    assert vars(rejected)["requeue"] is True


@pytest.mark.parametrize("error", [ModelCrashed("dead"), ModelTimeout("late")])
def test_what_kills_a_model_is_kept_for_an_operator(
    app: Celery, fakes: FakeResources, error: PaddlewheelError
) -> None:
    fakes.text.error = error
    assert run(app, {**REQUEST, "model": "m"}, task_id="t", headers={"enqueued_at": 5.0}) is error
    ((delivery, kept),) = fakes.deliveries.buried
    assert kept is error
    assert (delivery.task_id, delivery.name, delivery.queue) == ("t", RECOGNIZE_TEXT.name, "gpu")
    assert delivery.request == {**REQUEST, "model": "m"}
    assert delivery.headers["enqueued_at"] == 5.0


def test_other_errors_are_not_kept(app: Celery, fakes: FakeResources) -> None:
    fakes.text.error = ModelUnknown("no")
    run(app, REQUEST)
    assert fakes.deliveries.counted_ids
    assert fakes.deliveries.buried == []


def test_a_task_that_is_given_up_never_reaches_its_body(app: Celery, fakes: FakeResources) -> None:
    fakes.deliveries.error = WorkerLost("4 workers were lost")
    assert isinstance(run(app, REQUEST, task_id="t"), WorkerLost)
    assert fakes.text.seen is None
    assert fakes.cancellations.running == []


def test_a_task_that_cannot_be_run_is_not_counted(app: Celery, fakes: FakeResources) -> None:
    run(app, {"image": 1})
    run(app, REQUEST, headers={"deadline": 1.0})
    fakes.cancellations.cancelled = {"t"}
    run(app, REQUEST, task_id="t")
    assert fakes.deliveries.counted_ids == []


def test_of_many_items_only_those_that_kill_a_model_are_kept() -> None:
    images = [{"image": {"blob": "sha256:" + str(i) * 64}} for i in range(4)]
    request = RECOGNIZE_TEXTS.request.model_validate({"items": images})
    delivery = Delivery(task_id="t", name="n", queue="gpu", request={"items": images}, headers={})

    def answer(*codes: str | None) -> RecognizedTexts:
        good = {"result": {"rec_text": "a", "rec_score": 1.0}}
        items = [{"error": {"code": code, "message": "no"}} if code else good for code in codes]
        return RecognizedTexts.model_validate({"items": items})

    found = fatal_items(delivery, request, answer(None, "model_crashed", "image_corrupt", "model_timeout"))
    assert found is not None
    assert found[0] == replace(delivery, request={"items": [images[1], images[3]]})
    assert isinstance(found[1], ModelCrashed)
    assert fatal_items(delivery, request, answer(None, None, None, "image_corrupt")) is None
    single = RECOGNIZE_TEXT.request.model_validate(images[0])
    assert fatal_items(delivery, single, RecognizedText(rec_text="a", rec_score=1.0)) is None


class FakeImages:
    """Nothing is to be fetched; may be away."""

    error: Exception | None = None

    def prefetch(self, requests: Any) -> Iterator[Any]:
        if self.error is not None:
            raise self.error
        yield from requests


class Counting(FakeText):
    """Reads the place of a line among its companions; fails the second one."""

    def __init__(self) -> None:
        self.started = 0

    def recognize(self, request: Any, task: TaskContext) -> Steps[RecognizedText]:
        del request, task
        self.started += 1
        place = self.started
        yield
        if place == 2:
            raise ImageCorrupt("cut off")
        return RecognizedText(rec_text=f"{place} of {self.started}", rec_score=1.0)


def run_bulk(app: Celery, count: int) -> Any:
    request = {"items": [REQUEST] * count}
    return app.tasks[RECOGNIZE_TEXTS.name].apply(args=(request,)).result


def test_the_body_of_one_answers_many_together(app: Celery, fakes: FakeResources) -> None:
    fakes.text, fakes.images = Counting(), FakeImages()
    answer = RecognizedTexts.model_validate(run_bulk(app, 3))
    assert [each.result and each.result.rec_text for each in answer.items] == ["1 of 3", None, "3 of 3"]
    assert answer.items[1].error == ItemError(code="image_corrupt", message="cut off")


def test_a_bulk_message_is_tried_again_when_its_images_cannot_be_fetched(
    app: Celery, fakes: FakeResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.binding.RETRY_SECONDS", 0.0)
    fakes.text, fakes.images = Counting(), FakeImages()
    fakes.images.error = BlobStoreUnavailable("away")
    assert isinstance(run_bulk(app, 3), BlobStoreUnavailable)
    assert len(fakes.deliveries.counted_ids) == 6
    assert fakes.text.started == 0


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("order-7731-a", "ocr.recognize[t of request order-7731-a] "),
        ("x\nERROR all is lost", "ocr.recognize[t] "),
        (7, "ocr.recognize[t] "),
        (None, "ocr.recognize[t] "),
    ],
)
@pytest.mark.parametrize("error", [None, InvalidRequest("Wrong."), RuntimeError("broken")])
def test_the_log_names_the_request_that_a_task_came_of(
    app: Celery,
    fakes: FakeResources,
    caplog: pytest.LogCaptureFixture,
    given: object,
    logged: str,
    error: Exception | None,
) -> None:
    fakes.text.error = error
    caplog.set_level("INFO", logger="tasks.binding")
    run(app, REQUEST, task_id="t", headers={"request_id": given})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tasks.binding"]
    assert logged in line
