"""Builds and additions of indexes that may be sent again: to another gateway, after one was killed.

PaddleX's clients send no idempotency key. So a request that equals one which was not answered, and which
nobody works on for a caller any more, goes on with that one: it gets its index, its numbers and its operation
ids. With an idempotency key it is the same one in any case, whether that was answered or not.
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

from gateway.background import running
from gateway.indexes import IndexRegistry
from gateway.keys import Caller, allowed
from gateway.problems import Refusal
from gateway.task_options import IdempotencyKey
from job_store.http_operations import HttpOperations, NewOperation, Operation
from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.galleries import DELETE_GALLERY, DeleteGallery, GalleryKind
from paddlewheel.errors import PaddlewheelError

PATIENCE: Final = 10.0
"""A request is not worked on any more after so many times what it waits for one task."""

SETTLED: Final = 2.0
"""No task of a dropped build is run any more after so many times the same: their deadline has passed."""

KEPT_SECONDS: Final = 86_400.0
"""How long an idempotency key is known."""

log = logging.getLogger(__name__)


class ChangeRequest:
    """One request to change indexes: who asks, under which idempotency key, and whether they listen still."""

    def __init__(
        self,
        request: Request,
        background: BackgroundTasks,
        caller: Annotated[Caller, Depends(allowed("galleries:write"))],
        idempotency_key: IdempotencyKey = None,
    ) -> None:
        self.key_id = caller.key_id
        self.idempotency_key = idempotency_key
        self.after_answer = background.add_task
        self.gone = request.is_disconnected
        self._receive = request.receive

    async def hung_up(self) -> None:
        """Wait until they do not listen any more. Their request has to be read before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class IndexOperations:
    """`timeout` is how many seconds a request waits for one task."""

    def __init__(
        self, client: AsyncClient, table: HttpOperations, indexes: IndexRegistry, *, timeout: float
    ) -> None:
        self._client = client
        self._table = table
        self._indexes = indexes
        self._timeout = timeout

    async def build(
        self, asking: ChangeRequest, kind: GalleryKind, images: Sequence[Sequence[str]]
    ) -> Operation:
        """Begin a new index of these images, or go on with one. Raises IdempotencyMismatch."""
        return await self._begin(asking, str(uuid.uuid4()), kind, ["build", kind], images)

    async def add(self, asking: ChangeRequest, key: str, images: Sequence[Sequence[str]]) -> Operation:
        """Begin to add these images, or go on. Raises IdempotencyMismatch, GalleryNotFound."""
        return await self._begin(asking, key, None, ["add", key], images)

    @asynccontextmanager
    async def attended(self, operation: Operation, asking: ChangeRequest) -> AsyncIterator[None]:
        """It is worked on meanwhile. Should its caller hang up, whoever sends it again goes on with it."""
        if operation.kept:
            # Who sends its key again gets it in any case.
            yield
            return
        async with running(lambda: self._left(operation, asking), f"caller of {operation.id}"):
            yield

    async def conclude(self, operation: Operation, asking: ChangeRequest) -> None:
        """All of it is stored and is about to be answered. Raises Refusal if it is another's meanwhile."""
        if not operation.kept and await asking.gone():
            # Whoever asked may ask again; a build that nobody asks for again goes.
            await self.release(operation)
            return
        if not await asyncio.to_thread(self._table.conclude, operation):
            detail = "An equal request failed or took this one over: send it again."
            raise Refusal(503, "taken_over", detail, headers={"Retry-After": "1"})
        asking.after_answer(self._answered, operation)

    async def release(self, operation: Operation) -> None:
        """Nobody was answered: whoever sends it again goes on with it."""
        try:
            await asyncio.to_thread(self._table.release, operation)
        except PaddlewheelError as err:
            log.warning("an operation cannot be gone on with for a while: %s", err.message)

    async def drop(self, operation: Operation) -> None:
        """Give a build up whose key nobody was told. What cannot be done now, the sweeper does."""
        try:
            if await asyncio.to_thread(self._table.drop, operation):
                await self._delete(operation.index_key)
        except PaddlewheelError as err:
            log.warning("an index that failed is dropped later: %s", err.message)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """This gateway lives meanwhile; as soon as `live` succeeds, where the database is away."""
        try:
            await self.live()
        except PaddlewheelError as err:
            log.warning("the gateway starts without its database: %s", err.message)
        try:
            yield
        finally:
            await asyncio.to_thread(self._table.close)

    async def live(self) -> None:
        """Show that this gateway lives still. Raises DatabaseUnavailable, and mends that the next time."""
        await asyncio.to_thread(self._table.live)

    async def tidy(self) -> None:
        """Drop the builds whose gateway was killed and which nobody sent again, and forget old operations."""
        await asyncio.to_thread(self._table.abandon, seconds=self._timeout)
        for operation_id, key in await asyncio.to_thread(
            self._table.dropped, seconds=SETTLED * self._timeout
        ):
            # A task of it may have made the gallery after it was deleted.
            if await self._indexes.exists(key):
                await self._delete(key)
                await asyncio.to_thread(self._table.look_again, operation_id)
            else:
                await asyncio.to_thread(self._table.forget, operation_id)
        await asyncio.to_thread(self._table.purge, kept_seconds=KEPT_SECONDS)

    async def _begin(
        self,
        asking: ChangeRequest,
        key: str,
        kind: GalleryKind | None,
        words: Sequence[str],
        images: Sequence[Sequence[str]],
    ) -> Operation:
        if await asking.gone():
            # They may have sent it again already, and nothing is done yet.
            raise Refusal(499, "hung_up", "The connection was closed before the work began.")
        content = _digest([*words, images])
        given = asking.idempotency_key
        known_by = ["key", words[0], given] if given else ["content", content]
        new = NewOperation(
            id=uuid.uuid4().hex,
            identity=_digest([asking.key_id, known_by]),
            digest=content,
            index_key=key,
            kind=kind,
            images=len(images),
            kept=given is not None,
        )
        return await asyncio.to_thread(self._table.begin, new)

    async def _left(self, operation: Operation, asking: ChangeRequest) -> None:
        await asking.hung_up()
        await self.release(operation)

    async def _delete(self, key: str) -> None:
        await self._client.enqueue(DELETE_GALLERY, DeleteGallery(gallery=key))

    async def _answered(self, operation: Operation) -> None:
        try:
            await asyncio.to_thread(self._table.answered, operation)
        except PaddlewheelError as err:
            # It is forgotten later; should this gateway die before, an equal request is the same one.
            log.warning("an answered operation is still known: %s", err.message)


def _digest(words: Sequence[object]) -> str:
    return sha256(json.dumps(words, ensure_ascii=False).encode()).hexdigest()
