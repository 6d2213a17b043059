"""A task as Celery's message protocol 2, in the envelope of kombu's Redis transport.

The client builds the message itself, so that a batch of tasks is one pipeline, an asyncio client needs no
thread, and neither Celery nor kombu is installed with it. Sources: Celery's page on message protocol
version 2, and what a Celery producer puts into the list; a test keeps both equal, key by key.
"""

import base64
import json
import os
import socket
import uuid
from dataclasses import dataclass
from typing import Any, Final

from paddlewheel.contracts.base import Priority

PRIORITIES: Final[dict[Priority, int]] = {"interactive": 0, "bulk": 6}
"""Celery's priority numbers. With the Redis protocol 0 is the most urgent, and the default."""

PRIORITY_SEPARATOR: Final = "\x06\x16"
"""kombu's default: a list per priority step is named queue, separator, step."""

WAKE_KEY: Final = "paddlewheel:wake:{}"
"""A queue's tokens: one is pushed beside each message, for a worker that waits."""

WAKE_TOKENS: Final = 64
"""Enough for every idle worker; more are never kept."""

DEADLINE_HEADER: Final = "deadline"
ENQUEUED_AT_HEADER: Final = "enqueued_at"
REQUEST_ID_HEADER: Final = "request_id"


_NOT_SHOWN: Final = frozenset({"image", "label", "labels", "external_id", "external_ids", "features"})
"""Fields that are long, or that name people."""


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """One task on its way to the broker.

    `deadline` and `enqueued_at` are seconds since the epoch; `request_id` names the HTTP request that the
    task was made for, in logs.
    """

    id: str
    name: str
    queue: str
    request: dict[str, Any]
    priority: Priority
    enqueued_at: float
    deadline: float | None = None
    request_id: str | None = None

    @property
    def list_key(self) -> str:
        """The broker's list that a worker takes this task from."""
        step = PRIORITIES[self.priority]
        return f"{self.queue}{PRIORITY_SEPARATOR}{step}" if step else self.queue

    @property
    def wake_key(self) -> str:
        """Where a token wakes a worker that waits for this task's queue."""
        return WAKE_KEY.format(self.queue)

    def encode(self) -> bytes:
        """The bytes that are pushed to `list_key`."""
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        body = json.dumps([[self.request], {}, embed], ensure_ascii=False).encode()
        envelope = {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": self._headers(),
            "properties": self._properties(),
        }
        return json.dumps(envelope, separators=(",", ":")).encode()

    def _headers(self) -> dict[str, Any]:
        return {
            "lang": "py",
            "task": self.name,
            "id": self.id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": self.id,
            "parent_id": None,
            "argsrepr": describe(self.request),
            "kwargsrepr": "{}",
            "origin": f"paddlewheel{os.getpid()}@{socket.gethostname()}",
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
            DEADLINE_HEADER: self.deadline,
            ENQUEUED_AT_HEADER: self.enqueued_at,
            **({REQUEST_ID_HEADER: self.request_id} if self.request_id else {}),
        }

    def _properties(self) -> dict[str, Any]:
        return {
            "correlation_id": self.id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": self.queue},
            "priority": PRIORITIES[self.priority],
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        }


def describe(request: dict[str, Any], limit: int = 160) -> str:
    """What operators see in Flower and in logs: names and short addresses, never more than a line."""
    items = request.get("items")
    if items:
        where = f" for {request['gallery']}" if "gallery" in request else ""
        return f"{len(items)} items{where}, first {describe(items[0], limit - 24)}"[:limit]
    image = request.get("image", {})
    parts = [str(image.get("input_path") or image.get("blob", ""))[-80:]]
    parts += [f"{key}={value}" for key, value in request.items() if key not in _NOT_SHOWN]
    return " ".join(parts)[:limit]
