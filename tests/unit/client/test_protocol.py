"""Messages, records, addresses and requests: what goes over the wire, without a wire."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT, ReadPages, RecognizeText, RecognizeTexts
from paddlewheel.errors import (
    ERRORS,
    ConfigurationError,
    InternalError,
    InvalidRequest,
    ModelUnknown,
    PaddlewheelError,
    TaskCancelled,
    error_from,
)
from paddlewheel.wire.addresses import Addresses
from paddlewheel.wire.messages import describe
from paddlewheel.wire.requests import build_request, make_id, make_message
from paddlewheel.wire.result_store import TaskRecord, queued_record

REF = ImageRef(blob="sha256:" + "0" * 64)
names = st.text(min_size=1, max_size=512)


@given(name=names, page=st.integers(0, 10**6))
def test_a_request_comes_out_of_its_message_as_it_went_in(name: str, page: int) -> None:
    request = RecognizeText(image=ImageRef(blob=REF.blob, input_path=name), page_index=page)
    message = make_message(RECOGNIZE_TEXT, "id", request, "interactive", None)
    envelope = json.loads(message.encode())
    (received,), _, _ = json.loads(base64.b64decode(envelope["body"]))
    assert RecognizeText.model_validate(received) == request


@given(name=names)
def test_a_message_for_one_image_stays_under_two_kilobytes_in_plain_text(name: str) -> None:
    request = RecognizeText(image=ImageRef(blob=REF.blob, input_path=name[:200], expires_at=1e10))
    message = make_message(RECOGNIZE_TEXT, make_id(RECOGNIZE_TEXT, None), request, "bulk", 60)
    if name.isascii() and name.isprintable():
        assert len(message.encode()) < 2000


def test_priorities_are_lists_of_their_own() -> None:
    request = RecognizeText(image=REF)
    assert make_message(RECOGNIZE_TEXT, "i", request, "interactive", None).list_key == "gpu"
    assert make_message(RECOGNIZE_TEXT, "i", request, "bulk", None).list_key == "gpu\x06\x166"


def test_a_deadline_is_given_from_now_and_sent_as_a_point_in_time() -> None:
    request = RecognizeText(image=REF)
    message = make_message(RECOGNIZE_TEXT, "i", request, "bulk", timedelta(minutes=1))
    assert message.deadline == pytest.approx(message.enqueued_at + 60)


def test_what_operators_see_is_short_and_says_which_image() -> None:
    one = {"image": {"blob": REF.blob, "input_path": "scans/page 7.png"}, "model": "m"}
    assert describe(one) == "scans/page 7.png model=m"
    assert describe({"items": [one] * 9}) == "9 items, first scans/page 7.png model=m"
    assert len(describe({"image": {"input_path": "x" * 999}, "model": "y" * 999})) <= 160


def test_ids_are_new_or_belong_to_their_key() -> None:
    assert make_id(RECOGNIZE_TEXT, None) != make_id(RECOGNIZE_TEXT, None)
    assert make_id(RECOGNIZE_TEXT, "k") == make_id(RECOGNIZE_TEXT, "k")
    assert make_id(RECOGNIZE_TEXT, "k") != make_id(READ_PAGES, "k")


def test_a_request_is_built_from_an_image_and_options_or_given_whole() -> None:
    built = build_request(READ_PAGES, REF, {"pages": [1, 2], "min_score": 0.1})
    assert built == ReadPages(image=REF, pages=(1, 2), min_score=0.1)
    assert build_request(READ_PAGES, built, {}) is built
    with pytest.raises(InvalidRequest, match="not both"):
        build_request(READ_PAGES, built, {"pages": [1]})
    with pytest.raises(InvalidRequest, match="ReadPages"):
        build_request(READ_PAGES, RecognizeText(image=REF), {})


def test_a_refusal_names_the_field_and_not_its_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        build_request(READ_PAGES, REF, {"min_score": 7771})
    assert "min_score" in caught.value.message
    assert "7771" not in caught.value.message


@pytest.mark.parametrize(
    "blob", ["", "sha256:", "sha256:" + "g" * 64, "../../etc/passwd", "sha256:" + "0" * 65]
)
def test_a_reference_is_an_address_and_nothing_else(blob: str) -> None:
    with pytest.raises(ValidationError):
        ImageRef(blob=blob)


def test_a_message_of_too_many_items_is_refused() -> None:
    item = RecognizeText(image=REF)
    with pytest.raises(ValidationError):
        RecognizeTexts(items=(item,) * 257)
    with pytest.raises(ValidationError):
        RecognizeTexts(items=())


def test_every_task_has_one_name_and_a_known_queue() -> None:
    assert len({spec.name for spec in TASKS}) == len(TASKS)
    assert {spec.queue for spec in TASKS} <= {"gpu", "index", "batch"}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_survives_the_queue(code: str) -> None:
    kind = ERRORS[code]
    failure = {"exc_type": kind.__name__, "exc_message": ["what to do"], "exc_module": kind.__module__}
    record = TaskRecord.parse(json.dumps({"task_id": "t", "status": "FAILURE", "result": failure}))
    error = record.error()
    assert type(error) is kind
    assert error.code == code
    assert error.message == "what to do"
    assert str(error_from(code, "m")) == "m"
    assert kind().message.endswith(".")


def test_every_error_has_a_code_of_its_own() -> None:
    def all_below(kind: type[PaddlewheelError]) -> list[type[PaddlewheelError]]:
        return [kind] + [each for child in kind.__subclasses__() for each in all_below(child)]

    kinds = all_below(PaddlewheelError)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert set(ERRORS.values()) == set(kinds)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    import paddlewheel.errors as module

    drawn = set((module.__doc__ or "").split())
    assert {kind.__name__ for kind in ERRORS.values()} <= drawn
    branches = {code for code, kind in ERRORS.items() if kind.__subclasses__()}
    assert set(ERRORS) - branches <= drawn


def test_an_error_of_a_newer_worker_is_still_an_error() -> None:
    assert isinstance(error_from("new_code", "m"), InternalError)
    failure = {"exc_type": "SomethingNew", "exc_message": "m", "exc_module": "x"}
    record = TaskRecord.parse(json.dumps({"task_id": "t", "status": "FAILURE", "result": failure}))
    assert isinstance(record.error(), InternalError)


def test_a_revoked_task_is_a_cancelled_one() -> None:
    failure = {"exc_type": "TaskRevokedError", "exc_message": ["revoked"], "exc_module": "celery.exceptions"}
    record = TaskRecord.parse(json.dumps({"task_id": "t", "status": "REVOKED", "result": failure}))
    assert record.finished
    assert isinstance(record.error(), TaskCancelled)


def test_a_record_says_where_its_task_stands() -> None:
    queued = TaskRecord.parse(queued_record("t", "ocr.read", 1_700_000_000.0)).status()
    assert (queued.state, queued.name) == ("queued", "ocr.read")
    assert queued.enqueued_at == datetime.fromtimestamp(1_700_000_000, UTC)
    started = TaskRecord.parse('{"task_id": "t", "status": "STARTED", "result": {"pid": 1}}')
    assert (started.status().state, started.finished, started.error()) == ("running", False, None)
    failure = {"exc_type": "ModelUnknown", "exc_message": ["no"], "exc_module": "paddlewheel.errors"}
    failed = TaskRecord.parse(json.dumps({"task_id": "t", "status": "FAILURE", "result": failure}))
    assert isinstance(failed.error(), ModelUnknown)
    assert failed.status().error is not None


def test_addresses_come_from_arguments_then_the_environment_then_the_checkout(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_BROKER_URL"):
        Addresses.find(environment={}, folder=inner)
    (tmp_path / ".paddlewheel").mkdir()
    local = {"broker_url": "redis://local/0", "result_url": "redis://local/1", "blob_url": "file:///blobs"}
    (tmp_path / ".paddlewheel" / "connection.json").write_text(json.dumps(local))
    found = Addresses.find(environment={}, folder=inner)
    assert (found.broker, found.results, found.blobs) == tuple(local.values())
    environment = {"PADDLEWHEEL_BROKER_URL": "redis://env/0"}
    assert Addresses.find(environment=environment, folder=inner).blobs == "redis://env/0"
    given = Addresses.find("redis://given/0", environment=environment, folder=inner)
    assert given.broker == given.results == given.blobs == "redis://given/0"


def test_addresses_are_never_shown_and_other_protocols_are_refused(tmp_path: Path) -> None:
    found = Addresses.find("redis://:secret@host/0", environment={}, folder=tmp_path)
    assert "secret" not in repr(found)
    with pytest.raises(ConfigurationError, match="Redis protocol"):
        Addresses.find("amqp://host", environment={}, folder=tmp_path)


def test_a_damaged_connection_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ".paddlewheel").mkdir()
    (tmp_path / ".paddlewheel" / "connection.json").write_text("[1")
    with pytest.raises(ConfigurationError, match="make up"):
        Addresses.find(environment={}, folder=tmp_path)


@pytest.mark.parametrize(
    "deadline", ["5", float("nan"), float("inf"), -1, 1e300, 10**400, timedelta.max, True, object(), [5]]
)
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(InvalidRequest, match="A deadline is"):
        make_message(RECOGNIZE_TEXT, "i", RecognizeText(image=REF), "bulk", deadline)


@pytest.mark.parametrize("priority", ["high", "", None, 3, ["bulk"]])
def test_an_unknown_priority_is_refused_with_the_known_ones(priority: Any) -> None:
    with pytest.raises(InvalidRequest, match="'interactive' or 'bulk'"):
        make_message(RECOGNIZE_TEXT, "i", RecognizeText(image=REF), priority, None)


def test_an_idempotency_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="idempotency key"):
        make_id(RECOGNIZE_TEXT, "\udcff")
