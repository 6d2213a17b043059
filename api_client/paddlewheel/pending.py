"""A task that has been accepted and not yet answered.

Several items may travel in one message; their pendings share one `Reply`, which reads the record once.
"""

import asyncio
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from paddlewheel.contracts.base import ImageRef, TaskSpec
from paddlewheel.errors import InternalError, InvalidRequest, ResultTimeout, error_from
from paddlewheel.wire.result_store import TaskRecord, TaskStatus

ResultT = TypeVar("ResultT", bound=BaseModel)


class RecordReader(Protocol):
    """Waits for records."""

    async def wait(self, task_id: str) -> TaskRecord:
        """The finished record of one task."""
        ...


class TaskClient(Protocol):
    """What a pending needs of the client that made it."""

    @property
    def reader(self) -> RecordReader:
        """Where records come from."""
        ...

    async def status(self, task_id: str) -> TaskStatus:
        """Where a task stands."""
        ...

    async def cancel(self, task_id: str) -> None:
        """Ask the workers to drop a task."""
        ...

    def bind_picture(self, result: BaseModel, image: ImageRef | None) -> None:
        """Let a result fetch the picture it speaks of."""
        ...


class Reply:
    """The outcome of one message."""

    def __init__(self, client: TaskClient, task_id: str) -> None:
        self.client = client
        self.task_id = task_id
        self._record: TaskRecord | None = None

    async def record(self) -> TaskRecord:
        """The finished record."""
        if self._record is None:
            self._record = await self.client.reader.wait(self.task_id)
        return self._record

    def settle(self, record: TaskRecord) -> None:
        """Remember a record that somebody else has waited for."""
        self._record = record

    async def status(self) -> TaskStatus:
        """Where the task stands; a task that was never enqueued is known here alone."""
        if self._record is not None:
            return self._record.status()
        return await self.client.status(self.task_id)

    async def cancel(self) -> None:
        """Ask the workers to drop the task, unless its outcome is here."""
        if self._record is None:
            await self.client.cancel(self.task_id)

    @property
    def settled(self) -> bool:
        """Whether the outcome is here."""
        return self._record is not None


class AsyncPending(Generic[ResultT]):
    """Wait for the typed result, or for the typed error."""

    def __init__(
        self,
        spec: TaskSpec[Any, ResultT],
        reply: Reply,
        *,
        image: ImageRef | None = None,
        index: int | None = None,
    ) -> None:
        self._spec = spec
        self.reply = reply
        self._image = image
        self._index = index

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._spec.name} {self.task_id}>"

    @property
    def task_id(self) -> str:
        """The task's id; items that travel in one message share it."""
        return self.reply.task_id

    @property
    def image(self) -> ImageRef:
        """The image that the task works on. Raises InvalidRequest where the client does not know of one."""
        if self._image is None:
            raise InvalidRequest(
                f"No image of task {self.task_id} is known: {self._spec.name} takes none, or the task was "
                "enqueued elsewhere."
            )
        return self._image

    async def result(self, timeout: float | None = None) -> ResultT:
        """The typed result. Raises the task's typed error, or ResultTimeout after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                record = await self.reply.record()
        except TimeoutError as err:
            raise ResultTimeout(f"No result of task {self.task_id} came within {timeout:g} s.") from err
        return self.open(record)

    async def done(self) -> bool:
        """Whether `result` would answer at once."""
        return self.reply.settled or (await self.status()).state in ("succeeded", "failed", "cancelled")

    async def status(self) -> TaskStatus:
        """Where the task stands."""
        return await self.reply.status()

    async def cancel(self) -> None:
        """Ask the workers to drop the task, with every item that travels with it."""
        await self.reply.cancel()

    def open(self, record: TaskRecord) -> ResultT:
        """The result that a finished record holds for this item."""
        err = record.error()
        if err is not None:
            raise err
        payload = record.payload
        if self._index is not None:
            item = payload["items"][self._index]
            if item.get("error"):
                raise error_from(item["error"]["code"], item["error"]["message"])
            payload = item["result"]
        try:
            result = self._spec.result.model_validate(payload)
        except ValidationError as err:
            raise InternalError(
                f"The result of task {self.task_id} does not fit {self._spec.name}: "
                "is the client as new as the worker?"
            ) from err
        self.reply.client.bind_picture(result, self._image)
        return result
