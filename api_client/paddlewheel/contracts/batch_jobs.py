"""Batch jobs: a manifest of addresses in, a result file out, a line an image.

Callers submit a `NewBatchJob` (to the database, or over HTTP) and look at its `BatchStatus`. What crosses
the queue is `RUN_SHARD`, which only the service itself enqueues.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from paddlewheel.contracts.base import ImageRef, Request, TaskSpec
from paddlewheel.contracts.checking import check_fields
from paddlewheel.contracts.image_tasks import IMAGE_TASKS
from paddlewheel.contracts.images import CLASSIFY_IMAGE

BatchJobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
BatchState = Literal["planning", "running", "finishing", "succeeded", "failed", "cancelled"]
Address = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]

OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]

BATCH_TASKS: Final[dict[str, TaskSpec[Any, Any]]] = {spec.name: spec for spec in IMAGE_TASKS}
"""The tasks that a batch job may be of, by name."""

ALL_CLASSES: Final = 100_000
"""A batch job's lines hold the probabilities of all classes unless it says otherwise."""

_NO_IMAGE: Final = ImageRef(blob="sha256:" + "0" * 64)


class NewBatchJob(Request):
    """A batch job to do.

    `manifest` and `sink` are addresses under the workers' allowed roots; `options` are fields of the task's
    request, such as `model`. `shard_size` lines are one task; at most `window` of them are under way at a
    time, else the job's share of what the workers allow. An existing sink is only replaced with `overwrite`.
    """

    task: str = CLASSIFY_IMAGE.name
    manifest: Address
    sink: Address
    options: dict[OptionName, Any] = Field(default_factory=dict)
    shard_size: int | None = Field(default=None, ge=1, le=10_000)
    window: int | None = Field(default=None, ge=1, le=1000)
    overwrite: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.task not in BATCH_TASKS:
            raise ValueError(f"no batch jobs are made of this task; there are {', '.join(BATCH_TASKS)}")
        if "image" in self.options:
            raise ValueError("the images are those of the manifest: leave image out of the options")
        if self.manifest == self.sink:
            raise ValueError("the sink must not be the manifest")
        return self

    def checked_options(self) -> dict[str, Any]:
        """The options as the task takes them. Raises InvalidRequest for one that it does not know."""
        request = build_item(self.task, self.options, _NO_IMAGE)
        options: dict[str, Any] = request.model_dump(mode="json", include=set(self.options))
        return options


class BatchStatus(BaseModel):
    """How a batch job stands.

    `lines` is None until the manifest has been read; `redone_lines` counts those of shards that were lost
    with their worker and begun again; `rate` is in lines a second over the last minute.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    task: str
    manifest: str
    sink: str
    options: dict[str, Any]
    state: BatchState
    lines: int | None
    done_lines: int
    failed_lines: int
    redone_lines: int
    rate: float | None = None
    remaining_seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at: datetime
    planned_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ("succeeded", "failed", "cancelled")


class RunShard(Request):
    """Do some lines of a batch job's manifest; `shard` is the first of them, from 0."""

    job: BatchJobId
    shard: int = Field(ge=0)


class RanShard(BaseModel):
    """What became of it: done, or split into smaller ones, skipped as another has it, failed for now."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Literal["done", "split", "skipped", "failed"]
    lines: int = 0
    failed_lines: int = 0


RUN_SHARD: Final = TaskSpec(name="batch.shard", queue="batch", request=RunShard, result=RanShard)


def build_item(task: str, options: dict[str, Any], image: ImageRef) -> Any:
    """The request for one image of a job. Raises InvalidRequest."""
    every = {"top_k": ALL_CLASSES} if task == CLASSIFY_IMAGE.name else {}
    return check_fields(BATCH_TASKS[task].request, {**every, **options, "image": image})
