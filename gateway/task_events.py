"""A task's progress as server-sent events (WHATWG HTML standard, section 9.2)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import StreamingResponse

from gateway.jobs import JobService
from gateway.task_views import UNFINISHED, TaskView
from paddlewheel.errors import PaddlewheelError

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at an unfinished task. Its end is sent at once."""

KEEP_ALIVE_LOOKS: Final = 15
"""Looks without a change before a comment is sent, so that proxies keep the connection open."""

STREAM: Final[dict[str, Any]] = {
    "description": "Events named `state`, each with the task as JSON.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class TaskEvents(StreamingResponse):
    """Streams one task's events until the task has ended."""

    def __init__(self, jobs: JobService, key_id: str, task_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_events(jobs, key_id, task_id), media_type="text/event-stream", headers=headers)


async def _events(jobs: JobService, key_id: str, task_id: str) -> AsyncIterator[str]:
    sent: TaskView | None = None
    quiet = 0
    while True:
        try:
            view = TaskView.of(*await jobs.find(key_id, task_id))
        except PaddlewheelError as err:
            yield _event("error", {"code": err.code, "message": err.message})
            return
        if view != sent:
            yield _event("state", view.model_dump(mode="json", exclude_none=True))
            sent, quiet = view, 0
        elif (quiet := quiet + 1) % KEEP_ALIVE_LOOKS == 0:
            yield ": still here\n\n"
        if view.state not in UNFINISHED:
            return
        try:
            await jobs.wait(key_id, task_id, LOOK_SECONDS)
        except PaddlewheelError:
            await asyncio.sleep(LOOK_SECONDS)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
