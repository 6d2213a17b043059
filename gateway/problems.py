"""Errors over HTTP: problem details (RFC 9457) under /v1, and PaddleX's envelope elsewhere."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from gateway.request_ids import HEADER as REQUEST_ID
from gateway.request_ids import request_id
from paddlewheel.contracts.checking import explain
from paddlewheel.errors import (
    BatchJobNotFound,
    BatchJobState,
    BlobExpired,
    BlobNotFound,
    BlobTooLarge,
    CallerError,
    DeadlineExceeded,
    GalleryExists,
    GalleryNotFound,
    IdempotencyMismatch,
    InternalError,
    InvalidRequest,
    ModelCrashed,
    ModelFailed,
    ModelTimeout,
    OperationMismatch,
    OperationNotFound,
    PaddlewheelError,
    ResultTimeout,
    TaskCancelled,
    TaskNotFound,
)

log = logging.getLogger(__name__)

VERSIONED: Final = "/v1/"

_STATUS: Final[Mapping[type[PaddlewheelError], int]] = {
    TaskNotFound: 404,
    BatchJobNotFound: 404,
    GalleryNotFound: 404,
    OperationNotFound: 404,
    BlobNotFound: 404,
    BlobExpired: 410,
    BlobTooLarge: 413,
    GalleryExists: 409,
    BatchJobState: 409,
    IdempotencyMismatch: 409,
    OperationMismatch: 409,
    TaskCancelled: 409,
    DeadlineExceeded: 504,
    ResultTimeout: 504,
    ModelTimeout: 504,
    ModelFailed: 500,
    ModelCrashed: 500,
    InternalError: 500,
}


class Problem(BaseModel):
    """An error. `code` is stable and for programs; `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str = Field(description="Names the request in the logs.")


class Refusal(Exception):
    """Refuses a request before any task is enqueued."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def status_of(err: PaddlewheelError) -> int:
    """The HTTP status of an error: its own, or 422 for the caller's errors and 503 for the operator's."""
    for kind in type(err).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 422 if isinstance(err, CallerError) else 503


def answer_problem(
    path: str, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Answer with an error in the format of the path's family."""
    if path.startswith(VERSIONED):
        problem = Problem(
            title=_TITLES.get(status, "Error"),
            status=status,
            detail=detail,
            code=code,
            request_id=request_id(),
        )
        return JSONResponse(problem.model_dump(), status, headers, media_type="application/problem+json")
    envelope = {"logId": request_id(), "errorCode": status, "errorMsg": detail}
    return JSONResponse(envelope, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Register handlers that turn every error into one of the two formats."""

    @app.exception_handler(PaddlewheelError)
    async def typed(request: Request, err: PaddlewheelError) -> JSONResponse:
        status = status_of(err)
        if status >= 500:
            log.warning("%s %s: %s: %s", request.method, request.url.path, err.code, err.message)
        headers = {"Retry-After": "5"} if status == 503 else None
        return answer_problem(request.url.path, status, err.code, err.message, headers)

    @app.exception_handler(Refusal)
    async def refused(request: Request, err: Refusal) -> JSONResponse:
        return answer_problem(request.url.path, err.status, err.code, err.detail, err.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> JSONResponse:
        faults = [{key: each[key] for key in ("type", "loc", "msg")} for each in err.errors()]
        # PaddleX's clients parse errorMsg as a JSON list.
        paddlex = json.dumps(faults, ensure_ascii=False, default=str)
        detail = _sentence(faults) if request.url.path.startswith(VERSIONED) else paddlex
        return answer_problem(request.url.path, 422, "invalid_request", detail)

    @app.exception_handler(ValidationError)
    async def contradicted(request: Request, err: ValidationError) -> JSONResponse:
        """PaddleX's requests allow values that the tasks' contracts refuse."""
        return answer_problem(request.url.path, 422, InvalidRequest.code, explain(err))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, err: HTTPException) -> JSONResponse:
        code = _TITLES.get(err.status_code, "Error").lower().replace(" ", "_")
        return answer_problem(request.url.path, err.status_code, code, str(err.detail), err.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, err: Exception) -> JSONResponse:
        log.error("request %s: %s %s failed", request_id(), request.method, request.url.path, exc_info=err)
        detail = "An unexpected error occurred; the gateway's log has the details under the request's id."
        headers = {REQUEST_ID: request_id()}
        return answer_problem(request.url.path, 500, "internal_error", detail, headers)


def _sentence(faults: Sequence[Mapping[str, Any]]) -> str:
    parts = (f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in faults)
    return f"The request does not fit: {'; '.join(parts)}."


_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Request Too Large",
    415: "Unsupported Media Type",
    422: "Invalid Request",
    429: "Too Many Requests",
    500: "Internal Error",
    503: "Service Unavailable",
    504: "Timeout",
}


def _documented(kind: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": _TITLES[status], "content": {kind: {"schema": schema}}}
        for status in (400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503, 504)
    }


class FailedEnvelope(BaseModel):
    """PaddleX's envelope of a failed request; `errorCode` is the HTTP status."""

    logId: str  # noqa: N815 - PaddleX's names
    errorCode: int  # noqa: N815
    errorMsg: str  # noqa: N815


PROBLEMS: Final = _documented("application/problem+json", Problem.model_json_schema())
"""Error answers under /v1, for the OpenAPI document."""

FAILED_ENVELOPES: Final = _documented("application/json", FailedEnvelope.model_json_schema())
"""Error answers of PaddleX's services, for the OpenAPI document."""
