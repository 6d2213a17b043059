"""How a task goes on, as server-sent events (the WHATWG's HTML standard, section 9.2)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import StreamingResponse

from gateway.jobs import JobService
from gateway.task_views import UNFINISHED, TaskView
from paddlewheel.errors import PaddlewheelError

LOOK_SECONDS: Final = 1.0
"""How often a task that has not ended is looked at; its end is told at once."""

KEEP_ALIVE_LOOKS: Final = 15
"""Looks without news after which a comment keeps proxies from hanging up."""

STREAM: Final[dict[str, Any]] = {
    "description": "Events named `state`, each with the task as JSON.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class TaskEvents(StreamingResponse):
    """The events of one task until it has ended."""

    def __init__(self, desk: JobService, key_id: str, task_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_events(desk, key_id, task_id), media_type="text/event-stream", headers=headers)


async def _events(desk: JobService, key_id: str, task_id: str) -> AsyncIterator[str]:
    told: TaskView | None = None
    quiet = 0
    while True:
        try:
            view = TaskView.of(*await desk.find(key_id, task_id))
        except PaddlewheelError as err:
            yield _event("error", {"code": err.code, "message": err.message})
            return
        if view != told:
            yield _event("state", view.model_dump(mode="json", exclude_none=True))
            told, quiet = view, 0
        elif (quiet := quiet + 1) % KEEP_ALIVE_LOOKS == 0:
            yield ": still here\n\n"
        if view.state not in UNFINISHED:
            return
        try:
            await desk.wait(key_id, task_id, LOOK_SECONDS)
        except PaddlewheelError:
            await asyncio.sleep(LOOK_SECONDS)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
