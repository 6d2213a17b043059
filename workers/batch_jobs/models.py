"""A batch job's images, answered by the bodies of the worker's own tasks and put into lines."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from paddlewheel.contracts.base import ItemError, Outcome
from paddlewheel.contracts.images import CLASSIFY_IMAGE
from paddlewheel.errors import (
    BlobStoreUnavailable,
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    DeadlineExceeded,
    FamilyNotServed,
    GalleryError,
    InvalidRequest,
    ModelUnavailable,
    ModelUnknown,
    PaddlewheelError,
    PlaceUnavailable,
    SchemaOutdated,
    SegmentCorrupt,
    SegmentStoreUnavailable,
    TaskCancelled,
    WorkerOverloaded,
    error_from,
)
from tasks.batched import BatchedTask
from tasks.context import TaskContext

SHARED_FAULTS: Final = (
    BlobStoreUnavailable,
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    DeadlineExceeded,
    FamilyNotServed,
    GalleryError,
    InvalidRequest,
    ModelUnavailable,
    ModelUnknown,
    PlaceUnavailable,
    SchemaOutdated,
    SegmentCorrupt,
    SegmentStoreUnavailable,
    TaskCancelled,
    WorkerOverloaded,
)
"""Errors that are no image's fault: the shard is tried again, or the whole job fails."""

STORES: Final = (BlobStoreUnavailable, PlaceUnavailable)


class BatchModels:
    """Answers a portion of images; they meet in the batcher, each other's and those of other tasks."""

    def __init__(self, tasks: Mapping[str, BatchedTask[Any, Any]]) -> None:
        """`tasks` are the worker's, by name."""
        self._tasks = tasks

    def answers(
        self, task: str, requests: Sequence[Any], context: TaskContext, *, blame: bool = False
    ) -> list[dict[str, Any] | ItemError]:
        """The fields of each image's line, or its error. Raises what is no image's fault.

        With `blame` a store that gives some of the images and not the others is the fault of those others.
        """
        outcomes = self._tasks[task].run_each(requests, context)
        blamed = blame and any(outcome.error is None for outcome in outcomes)
        return [_to_answer(task, outcome, STORES if blamed else ()) for outcome in outcomes]


def _to_answer(
    task: str, outcome: Outcome[Any], blamed: tuple[type[PaddlewheelError], ...]
) -> dict[str, Any] | ItemError:
    if outcome.error is None:
        return _to_fields(task, outcome.result)  # type: ignore[arg-type]  # one of the two is set
    err = error_from(outcome.error.code, outcome.error.message)
    if isinstance(err, SHARED_FAULTS) and not isinstance(err, blamed):
        raise err
    return outcome.error


def _to_fields(task: str, result: BaseModel) -> dict[str, Any]:
    """The fields of a line: the result without what is the same in each line, or precedes it."""
    unwanted = {"served", "input_path"}
    if task == CLASSIFY_IMAGE.name:
        unwanted.add("page_index")
    fields = result.model_dump(mode="json", exclude=unwanted)
    for page in (fields, *fields.get("pages", ())):
        page.pop("served", None)
        page.pop("input_path", None)
        if page.get("page_index") is None:
            page.pop("page_index", None)
    return fields
