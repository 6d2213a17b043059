"""PaddleX's envelope around every answer of its services."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from gateway.request_ids import request_id

ResultT = TypeVar("ResultT")


class Envelope(BaseModel, Generic[ResultT]):
    """A successful answer. `logId` is the request's id; errors use `FailedEnvelope`."""

    logId: str  # noqa: N815 - PaddleX's names
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815
    result: ResultT


class Health(BaseModel):
    """The answer of /health."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Healthy"] = "Healthy"  # noqa: N815


class PaddleXRequest(BaseModel):
    """Base of requests in PaddleX's format. Unknown fields are ignored, as in PaddleX."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def to_envelope(result: ResultT) -> Envelope[ResultT]:
    """Wrap the current request's result."""
    return Envelope(logId=request_id(), result=result)
