"""The lines of a result file."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_client.contracts import ItemError, Outcome
from api_client.errors import BlobStoreUnavailable, FamilyNotServed
from api_client.images import ClassifiedImage
from tasks.context import TaskContext
from workers.batch_jobs.lines import error_line, is_error, read_line, result_line
from workers.batch_jobs.models import BatchModels

FIELDS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3)
TASK = TaskContext(task_id="t")


class Pictures:
    """Answers with what it was made with."""

    def __init__(self, *outcomes: Outcome[Any]) -> None:
        self._outcomes = outcomes

    def classify_many(self, requests: Any, task: TaskContext) -> tuple[Outcome[Any], ...]:
        del requests, task
        return self._outcomes

    extract_many = search_many = detect_many = embed_many = identify_many = classify_many


def models(*outcomes: Outcome[Any]) -> BatchModels:
    pictures: Any = Pictures(*outcomes)
    return BatchModels(pictures, pictures, pictures)


def test_a_line_of_a_classification_is_that_of_easyvision() -> None:
    probabilities = {"coho1": 4.028851974258174e-10, "coho4": 0.5188422446937221}
    found = ClassifiedImage(
        input_path="x",
        class_id=3,
        class_name="coho4",
        class_probs=probabilities,
    )
    (fields,) = models(Outcome(result=found)).answers("images.classify", [None], TASK)
    assert isinstance(fields, dict)
    assert result_line(b"oss://path/to/your/image1.jpg", fields) == (
        b'oss://path/to/your/image1.jpg, {"class": 3, "class_name": "coho4", "class_probs": '
        b'{"coho1": 4.028851974258174e-10, "coho4": 0.5188422446937221}}\n'
    )


def test_an_image_that_failed_has_a_line_of_the_same_shape() -> None:
    error = ItemError(code="image_corrupt", message='"damaged",\nreally.')
    (answer,) = models(Outcome(error=error)).answers("images.classify", [None], TASK)
    line = error_line(b"a.png", error)
    assert answer == error
    assert line == b'a.png, {"error": {"code": "image_corrupt", "message": "\\"damaged\\",\\nreally."}}\n'
    assert is_error(line)


def test_what_is_no_images_fault_is_nobodys_line() -> None:
    for err in (BlobStoreUnavailable("away"), FamilyNotServed("not here")):
        outcome: Outcome[Any] = Outcome(error=ItemError(code=err.code, message=err.message))
        with pytest.raises(type(err), match=err.message):
            models(outcome).answers("images.classify", [None], TASK)


@given(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=30), FIELDS)
def test_a_line_is_read_as_it_was_written(address: str, fields: dict[str, Any]) -> None:
    line = result_line(address.encode(), fields)
    assert line.count(b"\n") == 1
    assert read_line(line) == (address.encode(), fields)
    assert not is_error(line) or fields.keys() == {"error"}


def test_addresses_may_look_like_fields() -> None:
    for address in (b"a, {}", b'a, {"error": {"code": 1}}', b", {", b"x, {y, {z"):
        assert read_line(result_line(address, {"class": 1})) == (address, {"class": 1})
        assert not is_error(result_line(address, {"class": 1}))
    with pytest.raises(ValueError, match="JSON"):
        read_line(b"a, b")
