"""What crosses the queue: each task's name, queue, request and result, written once.

Both sides import these objects; the same definitions serve a bare Celery producer, which sends the
request as JSON under the task's name (docs/how-to/enqueue-from-another-language.md). Everything is frozen,
checked on entry and refuses unknown fields.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Priority = Literal["interactive", "bulk"]
"""Interactive tasks overtake bulk ones in the queue and in the batcher."""

BlobAddress = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class Request(BaseModel):
    """What a task is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageRef(BaseModel):
    """A stored image: the claim check that travels instead of its bytes.

    `blob` is the SHA-256 of the bytes; `expires_at` (seconds since the epoch) says until when the store
    keeps them; `input_path` is the caller's own name for the image and is only ever echoed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    blob: BlobAddress
    input_path: Annotated[str, StringConstraints(max_length=512)] | None = None
    expires_at: float | None = None


class ItemError(BaseModel):
    """Why one item of many failed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str


RequestT = TypeVar("RequestT", bound=Request)
ResultT = TypeVar("ResultT", bound=BaseModel)


class Many(Request, Generic[RequestT]):
    """Many requests in one message: a Celery task costs about a millisecond, whatever is in it."""

    items: tuple[RequestT, ...] = Field(min_length=1, max_length=256)


class Outcome(BaseModel, Generic[ResultT]):
    """One item's outcome: exactly one of the two is set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    result: ResultT | None = None
    error: ItemError | None = None


class Outcomes(BaseModel, Generic[ResultT]):
    """The outcomes of `Many`, in the order of its items."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    items: tuple[Outcome[ResultT], ...]


ResultT_co = TypeVar("ResultT_co", bound=BaseModel, covariant=True)


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Generic[RequestT, ResultT_co]):
    """A task as both sides know it: `name` and `queue` are Celery's, the types are the contract."""

    name: str
    queue: str
    request: type[RequestT]
    result: type[ResultT_co]


def bulk_of(spec: TaskSpec[RequestT, ResultT]) -> TaskSpec[Many[RequestT], Outcomes[ResultT]]:
    """The task that carries many requests of another in one message: `ocr.recognize_many` of `ocr.recognize`.

    Each item has a result or an error of its own.
    """
    many: Any = Many.__class_getitem__(spec.request)
    outcomes: Any = Outcomes.__class_getitem__(spec.result)
    many.__doc__ = f"Many requests of `{spec.name}` in one message."
    outcomes.__doc__ = f"The outcomes of many requests of `{spec.name}`, in the order of its items."
    return TaskSpec(name=f"{spec.name}_many", queue=spec.queue, request=many, result=outcomes)
