"""Batch jobs over HTTP: submit, list, show, cancel, resume and retry. Workers schedule and run them."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel

from gateway.keys import Caller, require_scope
from gateway.plain_text import PlainText
from gateway.problems import PROBLEMS
from gateway.services import TaskRunner, gateway
from gateway.task_options import IdempotencyKey
from paddlewheel.contracts.batch_jobs import BatchJobId, BatchState, BatchStatus, NewBatchJob

Service = Annotated[TaskRunner, Depends(gateway)]
Owner = Annotated[Caller, Depends(require_scope("jobs"))]
Id = Annotated[BatchJobId, Path()]
Webhook = Annotated[
    PlainText | None,
    Query(max_length=2048, description="An https address that is notified each time the job ends."),
]


class BatchPage(BaseModel):
    """Batch jobs, newest first; pass `next` as `before` to get the next page."""

    jobs: list[BatchStatus]
    next: AwareDatetime | None = None


def batch_router() -> APIRouter:
    """All of /v1/batch-jobs."""
    router = APIRouter(prefix="/v1/batch-jobs", tags=["Batch jobs"], responses=PROBLEMS)

    @router.post("", status_code=202)
    async def submit_batch_job(
        request: NewBatchJob,
        response: Response,
        service: Service,
        owner: Owner,
        idempotency_key: IdempotencyKey = None,
        webhook: Webhook = None,
    ) -> BatchStatus:
        """Submit a job: a manifest of image addresses in, a result file out.

        Both must be below the roots that the operator allows for batch jobs.
        """
        if webhook is not None:
            service.check_webhook(webhook)
        found = await asyncio.to_thread(
            service.batches.submit, request, owner.key_id, idempotency_key, webhook
        )
        response.headers["Location"] = f"/v1/batch-jobs/{found.id}"
        return found

    @router.get("")
    async def list_batch_jobs(
        service: Service,
        owner: Owner,
        state: BatchState | None = None,
        before: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> BatchPage:
        """List your own jobs, newest first."""
        found = await asyncio.to_thread(
            service.batches.page, owner.key_id, state=state, before=before, limit=limit
        )
        return BatchPage(jobs=found, next=found[-1].created_at if len(found) == limit else None)

    @router.get("/{job_id}")
    async def show_batch_job(job_id: Id, service: Service, owner: Owner) -> BatchStatus:
        """Show a job's state: lines done and failed, rate and remaining time."""
        return await asyncio.to_thread(service.batches.status, job_id, owner.key_id)

    @router.post("/{job_id}/cancel")
    async def cancel_batch_job(job_id: Id, service: Service, owner: Owner) -> BatchStatus:
        """Cancel a job. Finished lines are kept for a while; a job that has ended does not change."""
        return await asyncio.to_thread(service.batches.cancel, job_id, owner.key_id)

    @router.post("/{job_id}/resume")
    async def resume_batch_job(job_id: Id, service: Service, owner: Owner) -> BatchStatus:
        """Resume a cancelled or failed job. Finished lines are not processed again."""
        return await asyncio.to_thread(service.batches.resume, job_id, owner.key_id)

    @router.post("/{job_id}/retry")
    async def retry_batch_job(job_id: Id, service: Service, owner: Owner) -> BatchStatus:
        """Retry only the failed lines of a finished job, and rewrite its result."""
        return await asyncio.to_thread(service.batches.retry, job_id, owner.key_id)

    return router
