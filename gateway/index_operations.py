"""Makes index builds and additions safe to repeat, also at another gateway after one was killed.

PaddleX's clients send no idempotency key. A request therefore resumes an equal one that was never answered
and has no caller left: it takes over its index, its numbers and its operation ids. Requests with the same
idempotency key are always the same operation, answered or not.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Annotated, Final

from fastapi import BackgroundTasks, Depends, Request

from gateway.background import run_in_background
from gateway.indexes import IndexRegistry
from gateway.keys import Caller, require_scope
from gateway.problems import Refusal
from gateway.task_options import IdempotencyKey
from job_store.http_operations import HttpOperations, NewOperation, Operation
from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.galleries import DELETE_GALLERY, DeleteGallery, GalleryKind
from paddlewheel.errors import PaddlewheelError

PATIENCE: Final = 10.0
"""An operation counts as abandoned after this many task timeouts."""

SETTLED: Final = 2.0
"""After this many task timeouts no task of a dropped build can still run: its deadline has passed."""

KEPT_SECONDS: Final = 86_400.0
"""How long an idempotency key is remembered."""

log = logging.getLogger(__name__)


class ChangeRequest:
    """One request to change an index: its caller, its idempotency key, and whether the caller listens."""

    def __init__(
        self,
        request: Request,
        background: BackgroundTasks,
        caller: Annotated[Caller, Depends(require_scope("galleries:write"))],
        idempotency_key: IdempotencyKey = None,
    ) -> None:
        self.key_id = caller.key_id
        self.idempotency_key = idempotency_key
        self.after_answer = background.add_task
        self.is_disconnected = request.is_disconnected
        self._receive = request.receive

    async def wait_for_disconnect(self) -> None:
        """Wait until the caller disconnects. The request's body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class IndexOperations:
    """Begins, concludes and releases operations. A request waits `timeout` seconds for one task."""

    def __init__(
        self, client: AsyncClient, table: HttpOperations, indexes: IndexRegistry, *, timeout: float
    ) -> None:
        self._client = client
        self._table = table
        self._indexes = indexes
        self._timeout = timeout

    async def build(
        self, change: ChangeRequest, kind: GalleryKind, images: Sequence[Sequence[str]]
    ) -> Operation:
        """Begin to build an index of these images, or resume doing so. Raises IdempotencyMismatch."""
        return await self._begin(change, str(uuid.uuid4()), kind, ["build", kind], images)

    async def add(self, change: ChangeRequest, key: str, images: Sequence[Sequence[str]]) -> Operation:
        """Begin to add these images, or resume doing so. Raises IdempotencyMismatch, GalleryNotFound."""
        return await self._begin(change, key, None, ["add", key], images)

    @asynccontextmanager
    async def watch_caller(self, operation: Operation, change: ChangeRequest) -> AsyncIterator[None]:
        """Release the operation when its caller disconnects, so that a repeated request resumes it."""
        if operation.kept:
            # A request with the same idempotency key finds it anyway.
            yield
            return
        async with run_in_background(
            lambda: self._release_on_disconnect(operation, change), f"caller of {operation.id}"
        ):
            yield

    async def conclude(self, operation: Operation, change: ChangeRequest) -> None:
        """Mark an operation as done before answering. Raises Refusal if another request took it over."""
        if not operation.kept and await change.is_disconnected():
            # The caller may repeat the request; otherwise the sweeper drops the build.
            await self.release(operation)
            return
        if not await asyncio.to_thread(self._table.conclude, operation):
            detail = "An equal request failed or took this one over: send it again."
            raise Refusal(503, "taken_over", detail, headers={"Retry-After": "1"})
        change.after_answer(self._mark_answered, operation)

    async def release(self, operation: Operation) -> None:
        """Give up an operation that was not answered, so that a repeated request resumes it."""
        try:
            await asyncio.to_thread(self._table.release, operation)
        except PaddlewheelError as err:
            log.warning("an operation cannot be resumed for a while: %s", err.message)

    async def drop(self, operation: Operation) -> None:
        """Drop a failed build whose key no caller has received. The sweeper retries what fails here."""
        try:
            if await asyncio.to_thread(self._table.drop, operation):
                await self._delete(operation.index_key)
        except PaddlewheelError as err:
            log.warning("the index of a failed build will be dropped later: %s", err.message)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Register this gateway while the context is open; if the database is down, `live` does it later."""
        try:
            await self.live()
        except PaddlewheelError as err:
            log.warning("the gateway starts without the database: %s", err.message)
        try:
            yield
        finally:
            await asyncio.to_thread(self._table.close)

    async def live(self) -> None:
        """Renew this gateway's registration. Raises DatabaseUnavailable; the next call reconnects."""
        await asyncio.to_thread(self._table.live)

    async def clean_up(self) -> None:
        """Drop builds whose gateway was killed and that no caller repeated, and delete old operations."""
        await asyncio.to_thread(self._table.abandon, seconds=self._timeout)
        for operation_id, key in await asyncio.to_thread(
            self._table.list_dropped, seconds=SETTLED * self._timeout
        ):
            # A late task of the build may have created the gallery again.
            if await self._indexes.exists(key):
                await self._delete(key)
                await asyncio.to_thread(self._table.look_again, operation_id)
            else:
                await asyncio.to_thread(self._table.forget, operation_id)
        await asyncio.to_thread(self._table.purge, kept_seconds=KEPT_SECONDS)

    async def _begin(
        self,
        change: ChangeRequest,
        key: str,
        kind: GalleryKind | None,
        words: Sequence[str],
        images: Sequence[Sequence[str]],
    ) -> Operation:
        if await change.is_disconnected():
            # The caller may have repeated it already, and no work has begun.
            raise Refusal(499, "hung_up", "The connection was closed before the work began.")
        content = _digest([*words, images])
        given = change.idempotency_key
        known_by = ["key", words[0], given] if given else ["content", content]
        new = NewOperation(
            id=uuid.uuid4().hex,
            identity=_digest([change.key_id, known_by]),
            digest=content,
            index_key=key,
            kind=kind,
            images=len(images),
            kept=given is not None,
        )
        return await asyncio.to_thread(self._table.begin, new)

    async def _release_on_disconnect(self, operation: Operation, change: ChangeRequest) -> None:
        await change.wait_for_disconnect()
        await self.release(operation)

    async def _delete(self, key: str) -> None:
        await self._client.enqueue(DELETE_GALLERY, DeleteGallery(gallery=key))

    async def _mark_answered(self, operation: Operation) -> None:
        try:
            await asyncio.to_thread(self._table.mark_answered, operation)
        except PaddlewheelError as err:
            # It is deleted later. If this gateway dies before, an equal request returns this operation.
            log.warning("an answered operation could not be deleted yet: %s", err.message)


def _digest(words: Sequence[object]) -> str:
    return sha256(json.dumps(words, ensure_ascii=False).encode()).hexdigest()
