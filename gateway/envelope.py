"""PaddleX's envelope around every answer of its service."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from gateway.request_ids import request_id

ResultT = TypeVar("ResultT")


class Envelope(BaseModel, Generic[ResultT]):
    """`logId` names the request, `errorCode` is 0; an error has the HTTP status in it, and no result."""

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
    """A request in PaddleX's words. Unknown fields are ignored, as PaddleX does."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def enveloped(result: ResultT) -> Envelope[ResultT]:
    """The result of the request that is being answered."""
    return Envelope(logId=request_id(), result=result)
