"""A request's body is limited while it arrives, whatever its headers promise."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import answer_problem


class BodyTooLarge(Exception):
    """More came than is allowed."""


class BodyLimit:
    """Middleware that refuses a body of more than `most` bytes with 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        promised = Headers(scope=scope).get("content-length", "")
        if promised.isdigit() and int(promised) > self._most:
            await self._refuse(scope, receive, send)
            return
        taken = 0
        started = False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                raise BodyTooLarge
            return message

        async def noticed(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, noticed)
        except BodyTooLarge:
            if started:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"The request has more than {self._most} bytes: put images first, or send fewer at a time."
        response = answer_problem(scope["path"], 413, "request_too_large", detail)
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
