"""The lines of a result file."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.contracts.base import ImageRef, ItemError
from paddlewheel.contracts.batch_jobs import BATCH_TASKS, NewBatchJob, build_item
from paddlewheel.contracts.images import ClassifiedImage
from paddlewheel.contracts.results import Served
from paddlewheel.contracts.text import Page, ReadDocument, RecognizedText
from paddlewheel.errors import BlobStoreUnavailable, FamilyNotServed, ImageCorrupt, PaddlewheelError
from tasks.batched import BatchedTask, load_batched_tasks
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.batch_jobs.lines import error_line, is_error, read_line, result_line
from workers.batch_jobs.models import BatchModels

FIELDS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3)
TASK = TaskContext(task_id="t")


def models(*answers: Any) -> BatchModels:
    """Of every task the next answers are these; an error is raised."""
    rest = iter(answers)

    def answer(request: Any, task: TaskContext) -> Steps[Any]:
        del request, task
        answer = next(rest)
        yield
        if isinstance(answer, PaddlewheelError):
            raise answer
        return answer

    return BatchModels(
        {name: BatchedTask(spec=spec, body=answer, at_once=8) for name, spec in BATCH_TASKS.items()}
    )


def test_a_line_of_a_classification_is_that_of_easyvision() -> None:
    probabilities = {"coho1": 4.028851974258174e-10, "coho4": 0.5188422446937221}
    found = ClassifiedImage(
        input_path="x",
        class_id=3,
        class_name="coho4",
        class_probs=probabilities,
    )
    (fields,) = models(found).answers("images.classify", [None], TASK)
    assert isinstance(fields, dict)
    assert result_line(b"oss://path/to/your/image1.jpg", fields) == (
        b'oss://path/to/your/image1.jpg, {"class": 3, "class_name": "coho4", "class_probs": '
        b'{"coho1": 4.028851974258174e-10, "coho4": 0.5188422446937221}}\n'
    )


def test_an_image_that_failed_has_a_line_of_the_same_shape() -> None:
    error = ItemError(code="image_corrupt", message='"damaged",\nreally.')
    (answer,) = models(ImageCorrupt(error.message)).answers("images.classify", [None], TASK)
    line = error_line(b"a.png", error)
    assert answer == error
    assert line == b'a.png, {"error": {"code": "image_corrupt", "message": "\\"damaged\\",\\nreally."}}\n'
    assert is_error(line)


def test_an_error_that_is_no_images_fault_fails_no_line() -> None:
    for err in (BlobStoreUnavailable("away"), FamilyNotServed("not here")):
        with pytest.raises(type(err), match=err.message):
            models(err).answers("images.classify", [None], TASK)


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


IMAGE = ImageRef(blob="sha256:" + "0" * 64)
SERVED = Served(model="m", engine="paddle", device="cpu")


def test_lines_of_text_and_pages_hold_the_result_alone() -> None:
    line = RecognizedText(input_path="a", rec_text="hé", rec_score=0.5, served=SERVED)
    page = Page(
        input_path="a",
        page_index=0,
        width=6,
        height=4,
        dt_polys=(),
        dt_scores=(),
        rec_texts=("a",),
        rec_scores=(0.5,),
        angles=(0,),
        served=SERVED,
    )
    document = ReadDocument(input_path="a", page_count=1, pages=(page,))
    under_test = models(line, document, ImageCorrupt("cut off"))
    (recognized,) = under_test.answers("ocr.recognize", [build_item("ocr.recognize", {}, IMAGE)], TASK)
    assert recognized == {"rec_text": "hé", "rec_score": 0.5}
    read, failed = under_test.answers("ocr.read", [build_item("ocr.read", {}, IMAGE)] * 2, TASK)
    assert isinstance(read, dict)
    assert read["page_count"] == 1
    assert set(read["pages"][0]) == set(Page.model_fields) - {"input_path", "served"}
    assert failed == ItemError(code="image_corrupt", message="cut off")
    assert result_line(b"a.png", {"rec_text": "hé"}) == 'a.png, {"rec_text": "hé"}\n'.encode()


@pytest.mark.parametrize("task", sorted(BATCH_TASKS))
def test_every_task_of_batch_jobs_can_be_run(task: str) -> None:
    options = {"gallery": "g"} if "gallery" in BATCH_TASKS[task].request.model_fields else {}
    assert load_batched_tasks()[task].spec == BATCH_TASKS[task]
    answers = models(ImageCorrupt("m")).answers(task, [build_item(task, options, IMAGE)], TASK)
    assert answers == [ItemError(code="image_corrupt", message="m")]


def test_options_reach_every_item_and_all_classes_are_returned_by_default() -> None:
    assert build_item("images.classify", {}, IMAGE).top_k == 100_000
    assert build_item("images.classify", {"top_k": 5}, IMAGE).top_k == 5
    job = NewBatchJob(manifest="/a", sink="/b", options={"top_k": 5, "model": "m"})
    assert job.checked_options() == {"top_k": 5, "model": "m"}
