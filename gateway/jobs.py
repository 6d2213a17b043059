"""Jobs over HTTP: stored in Postgres first, then enqueued. Their outcome is stored when it is first seen."""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.plain_text import require_plain
from job_store.jobs import Job, JobOutcome, JobStore, NewJob
from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.base import Priority, TaskSpec
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import TaskNotFound
from paddlewheel.wire.messages import TaskMessage
from paddlewheel.wire.requests import make_id
from paddlewheel.wire.result_store import TaskRecord

SPECS: Final[Mapping[str, TaskSpec[Any, Any]]] = {spec.name: spec for spec in TASKS}


class JobService:
    """Submits jobs and finds, awaits and cancels them."""

    def __init__(self, client: AsyncClient, store: JobStore) -> None:
        self._client = client
        self._store = store

    async def submit(
        self,
        spec: TaskSpec[Any, Any],
        request: dict[str, Any],
        *,
        key_id: str,
        request_id: str,
        priority: Priority = "interactive",
        deadline: float | None = None,
        idempotency_key: str | None = None,
        webhook: str | None = None,
    ) -> Job:
        """Accept one task; `deadline` is in seconds from now.

        Repeating a caller's idempotency key returns the same job. Raises IdempotencyMismatch, InvalidRequest.
        """
        require_plain(request)
        key = idempotency_key or str(uuid.uuid4())
        job, new = await asyncio.to_thread(
            self._store.accept,
            NewJob(
                id=make_id(spec, f"{key_id}\n{key}"),
                key_id=key_id,
                name=spec.name,
                request=request,
                digest=digest_of(request),
                priority=priority,
                deadline_at=datetime.fromtimestamp(time.time() + deadline, UTC) if deadline else None,
                request_id=request_id,
                webhook=webhook,
            ),
        )
        if new:
            # If this fails, the sweeper enqueues the accepted job.
            await self.enqueue([job])
        return job

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Send jobs to the broker. It does not enqueue a job that it already knows."""
        await self._client.publish([_message(job) for job in jobs])
        await asyncio.to_thread(self._store.mark_enqueued, [job.id for job in jobs])

    async def find(self, key_id: str, job_id: str) -> tuple[Job, str]:
        """Find a caller's job and its current state, which may be "running". Raises TaskNotFound."""
        job = await asyncio.to_thread(self._store.find, key_id, job_id)
        if job.state != "queued":
            return job, job.state
        (record,) = await self._client.records([job_id])
        if record is None or not record.finished:
            return job, record.state if record else "queued"
        await self.settle([record])
        settled = await asyncio.to_thread(self._store.find, key_id, job_id)
        return settled, settled.state

    async def wait(self, key_id: str, job_id: str, seconds: float) -> tuple[Job, str]:
        """Like `find`, but wait up to `seconds` for the job to end."""
        found = await self.find(key_id, job_id)
        if found[1] not in ("queued", "running") or not seconds:
            return found
        try:
            async with asyncio.timeout(seconds):
                await self._client.reader.wait(job_id)
        except TimeoutError:
            pass
        return await self.find(key_id, job_id)

    async def cancel(self, key_id: str, job_id: str) -> None:
        """Ask the workers to drop a job. A job that the broker has lost is cancelled in the database."""
        job, _ = await self.find(key_id, job_id)
        if job.state != "queued":
            return
        try:
            await self._client.cancel(job_id)
        except TaskNotFound:
            message = f"The task {job_id} was cancelled."
            outcome = JobOutcome(
                id=job_id, state="cancelled", error_code="task_cancelled", error_message=message
            )
            await asyncio.to_thread(self._store.settle, [outcome])

    async def settle(self, records: Sequence[TaskRecord]) -> None:
        """Store the outcomes of finished records."""
        await asyncio.to_thread(self._store.settle, [_outcome(record) for record in records])


def digest_of(request: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a request without the expiry times of its images."""
    text = json.dumps(_without_expiry(request), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_expiry(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_expiry(each) for name, each in value.items() if name != "expires_at"}
    return [_without_expiry(each) for each in value] if isinstance(value, list) else value


def _message(job: Job) -> TaskMessage:
    priority: Priority = "bulk" if job.priority == "bulk" else "interactive"
    return TaskMessage(
        id=job.id,
        name=job.name,
        queue=SPECS[job.name].queue,
        request=dict(job.request),
        priority=priority,
        enqueued_at=time.time(),
        deadline=job.deadline_at.timestamp() if job.deadline_at else None,
        request_id=job.request_id,
    )


def _outcome(record: TaskRecord) -> JobOutcome:
    error = record.error()
    if error is None:
        return JobOutcome(id=record.task_id, state="succeeded", result=record.payload)
    state = "cancelled" if record.state == "cancelled" else "failed"
    return JobOutcome(id=record.task_id, state=state, error_code=error.code, error_message=error.message)  # type: ignore[arg-type]
