"""Options of a submission, beside the task's request."""

from typing import Annotated

from fastapi import Header, Query
from pydantic import BaseModel, Field

from paddlewheel.contracts.base import Priority


class SubmitOptions(BaseModel):
    """How to run a task."""

    priority: Priority = Field("interactive", description="Interactive tasks overtake bulk ones.")
    deadline: float | None = Field(
        None, gt=0, le=86_400, description="Seconds from now after which the task is dropped."
    )
    wait: float = Field(0, ge=0, le=60, description="Seconds to wait for the result before answering.")
    webhook: str | None = Field(
        None, max_length=2048, description="An https address that is notified when the task ends."
    )


Options = Annotated[SubmitOptions, Query()]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Requests with the same key are one task.",
    ),
]
