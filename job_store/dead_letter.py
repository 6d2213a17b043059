"""A dead letter: a request that no worker could answer, and what was tried."""

import hashlib
import json
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

LetterState = Literal["dead", "replayed", "discarded"]

_IGNORED_FIELDS: Final = frozenset({"input_path", "expires_at"})
"""Fields of an image's reference that do not change what happens to it."""


class DeliveryAttempt(BaseModel):
    """One delivery of the task to a worker, and how it ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    letter: str
    task_id: str
    worker: str
    at: datetime
    reason: str


class DeadLetter(BaseModel):
    """What a worker records when it gives a task up. `id` is the letter's own, for filing it once."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    task_id: str
    name: str
    queue: str
    request: dict[str, Any]
    headers: dict[str, Any] = Field(default_factory=dict)
    error_code: str
    error_message: str
    history: tuple[DeliveryAttempt, ...] = Field(min_length=1)
    created_at: datetime

    @property
    def fingerprint(self) -> str:
        """The same for requests that are alike and failed alike, whoever sent them and when."""
        key = json.dumps([self.name, self.error_code, _plain(self.request)], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()


class DeadLetterRecord(BaseModel):
    """A row: a letter and what became of it. `task_id` is the latest of `occurrences` tasks."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    task_id: str
    name: str
    queue: str
    request: dict[str, Any]
    headers: dict[str, Any]
    error_code: str
    error_message: str
    history: tuple[DeliveryAttempt, ...]
    occurrences: int
    state: LetterState
    created_at: datetime
    last_at: datetime
    replayed_at: datetime | None
    replay_task_id: str | None
    discarded_at: datetime | None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _IGNORED_FIELDS}
    return [_plain(each) for each in value] if isinstance(value, list) else value
