"""Every request has an id: the caller's own where it is a decent one. It travels to the workers' logs."""

import re
import uuid
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-ID"
_DECENT: Final = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_current: ContextVar[str] = ContextVar("request_id")


def request_id() -> str:
    """The id of the request that is being answered."""
    return _current.get("")


class RequestIds:
    """Middleware that gives each request its id and tells it to the caller."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        mine = given if _DECENT.fullmatch(given) else str(uuid.uuid4())

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = mine
            await send(message)

        # Not taken back: what answers an unexpected error stands outside of this.
        _current.set(mine)
        await self._app(scope, receive, told)
