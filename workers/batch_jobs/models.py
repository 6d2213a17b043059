"""A batch job's images through the worker's own services, batched with everything else that they do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from paddlewheel.contracts.base import ItemError, Outcome
from paddlewheel.contracts.faces import DETECT_FACES, EMBED_FACES, IDENTIFY_FACES
from paddlewheel.contracts.images import CLASSIFY_IMAGE, EXTRACT_FEATURE, SEARCH_IMAGE
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT, RecognizeTexts
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
from tasks.context import TaskContext
from tasks.resources import Faces, Pictures, TextReader

NOBODYS: Final = (
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
"""What is no image's fault: the shard is tried again, or the whole job is wrong."""

STORES: Final = (BlobStoreUnavailable, PlaceUnavailable)

Run = Callable[[Sequence[Any], TaskContext], Sequence[Outcome[Any]]]


class BatchModels:
    """Every task that a batch job may be of."""

    def __init__(self, text: TextReader, faces: Faces, pictures: Pictures) -> None:
        self._text = text
        self._runs: Mapping[str, Run] = {
            CLASSIFY_IMAGE.name: pictures.classify_many,
            EXTRACT_FEATURE.name: pictures.extract_many,
            SEARCH_IMAGE.name: pictures.search_many,
            DETECT_FACES.name: faces.detect_many,
            EMBED_FACES.name: faces.embed_many,
            IDENTIFY_FACES.name: faces.identify_many,
            RECOGNIZE_TEXT.name: self._recognized,
            READ_PAGES.name: self._read,
        }

    def answers(
        self, task: str, requests: Sequence[Any], context: TaskContext, *, blame: bool = False
    ) -> list[dict[str, Any] | ItemError]:
        """The fields of each image's line, or its error. Raises what is no image's fault.

        With `blame` a store that gives some of the images and not the others is the fault of those others.
        """
        outcomes = self._runs[task](requests, context)
        blamed = blame and any(outcome.error is None for outcome in outcomes)
        return [_answer(task, outcome, STORES if blamed else ()) for outcome in outcomes]

    def _recognized(self, requests: Sequence[Any], context: TaskContext) -> Sequence[Outcome[Any]]:
        return self._text.recognize_many(RecognizeTexts(items=tuple(requests)), context).items

    def _read(self, requests: Sequence[Any], context: TaskContext) -> Sequence[Outcome[Any]]:
        return [self._read_one(request, context) for request in requests]

    def _read_one(self, request: Any, context: TaskContext) -> Outcome[Any]:
        try:
            return Outcome(result=self._text.read(request, context))
        except PaddlewheelError as err:
            return Outcome(error=ItemError(code=err.code, message=err.message))


def _answer(
    task: str, outcome: Outcome[Any], blamed: tuple[type[PaddlewheelError], ...]
) -> dict[str, Any] | ItemError:
    if outcome.error is None:
        return _fields(task, outcome.result)  # type: ignore[arg-type]  # one of the two is set
    err = error_from(outcome.error.code, outcome.error.message)
    if isinstance(err, NOBODYS) and not isinstance(err, blamed):
        raise err
    return outcome.error


def _fields(task: str, result: BaseModel) -> dict[str, Any]:
    """What a line holds: the result without what is the same in each line, or stands before it."""
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
