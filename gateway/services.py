"""The resources that the gateway's endpoints share, built once per process."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel

from database.locks import LockName, SessionLock
from database.pool import Database
from gateway.admission import AdmissionControl
from gateway.images import ImageUploads
from gateway.index_operations import PATIENCE, IndexOperations
from gateway.indexes import IndexRegistry
from gateway.jobs import JobService
from gateway.keys import Caller
from gateway.rates import RateLimiter
from gateway.service_stats import ServiceStats
from gateway.settings import GatewaySettings
from gateway.sweeper import Sweeper
from gateway.webhooks import WebhookSender
from job_store.api_keys import ApiKeys
from job_store.batch_jobs import BatchJobStore
from job_store.http_operations import HttpOperations
from job_store.jobs import Job, JobStore
from job_store.webhooks import Webhooks
from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.base import ImageRef, TaskSpec
from paddlewheel.contracts.base import Request as TaskRequest
from paddlewheel.errors import ImageUnsupported, ResultTimeout, error_from
from paddlewheel.sources.url_fetcher import UrlFetcher
from paddlewheel.wire.connection import connect

RequestT = TypeVar("RequestT", bound=TaskRequest)
ResultT = TypeVar("ResultT", bound=BaseModel)

log = logging.getLogger(__name__)


class TaskRunner:
    """Enqueues tasks for requests, waits for them, and holds the services that endpoints use."""

    def __init__(
        self,
        settings: GatewaySettings,
        client: AsyncClient,
        *,
        admission: AdmissionControl,
        rates: RateLimiter,
        keys: ApiKeys,
        indexes: IndexRegistry,
        operations: IndexOperations,
        job_store: JobStore,
        batches: BatchJobStore,
        webhooks: WebhookSender,
        stats: ServiceStats,
    ) -> None:
        self.settings = settings
        self.client = client
        self.admission = admission
        self.rates = rates
        self.indexes = indexes
        self.operations = operations
        self.stats = stats
        self.batches = batches
        self.jobs = JobService(client, job_store)
        self._job_store = job_store
        self._webhooks = webhooks
        self._keys = keys
        policy = settings.url_policy
        self.uploads = ImageUploads(
            client, UrlFetcher(policy) if policy else None, settings.gateway_max_image_bytes
        )

    async def find_key(self, digest: str) -> Caller | None:
        """Find the owner of the key with this hash; None if the key is not valid."""
        found = await asyncio.to_thread(self._keys.find, digest)
        return Caller(key_id=found.id, scopes=frozenset(found.scopes)) if found else None

    async def check(self) -> None:
        """Raise BrokerUnavailable or DatabaseUnavailable if a server cannot be reached."""
        await self.admission.queue_stats()
        await self.find_key("")

    async def list_jobs(self, key_id: str, **wanted: Any) -> list[Job]:
        """List a caller's jobs."""
        return await asyncio.to_thread(self._job_store.page, key_id, **wanted)

    def raise_for(self, job: Job) -> None:
        """Raise the typed error of a job that did not succeed."""
        if job.error_code is not None:
            raise error_from(job.error_code, job.error_message or "")

    def check_webhook(self, url: str) -> None:
        """Raise UrlRefused for an address to which no webhook would be sent."""
        self._webhooks.check(url)

    async def run(self, spec: TaskSpec[RequestT, ResultT], request: RequestT) -> ResultT:
        """Enqueue one task and wait for its result. Cancel it on timeout or when the caller disconnects."""
        await self.admission.admit(spec.queue)
        timeout = self.settings.gateway_timeout
        pending = await self.client.enqueue(spec, request, deadline=timeout)
        try:
            return await pending.result(timeout)
        except (ResultTimeout, asyncio.CancelledError):
            await asyncio.shield(self.client.cancel(pending.task_id))
            raise

    async def size_of(self, image: ImageRef) -> tuple[int, int]:
        """Read a stored image's width and height from its header. Raises ImageUnsupported."""
        data = await asyncio.to_thread(self.client.blobs.get, image)
        try:
            with Image.open(io.BytesIO(data)) as opened:
                return opened.size
        except (UnidentifiedImageError, OSError, ValueError) as err:
            raise ImageUnsupported("The image's header cannot be read.") from err


@asynccontextmanager
async def open_gateway(settings: GatewaySettings) -> AsyncIterator[TaskRunner]:
    """Connect to the servers, and close the connections on exit."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            AsyncClient(
                settings.broker_url,
                result_url=settings.result_url,
                blob_url=settings.blob_url,
                blob_ttl=settings.blob_ttl,
                max_blob_bytes=settings.gateway_max_image_bytes,
            )
        )
        redis = connect(settings.broker_url)
        stack.push_async_callback(redis.aclose)
        database = Database(settings.database_url, max_connections=14)
        stack.callback(database.close)
        indexes = IndexRegistry(database)
        timeout = settings.gateway_timeout
        operations = IndexOperations(
            client, HttpOperations(database, patience=PATIENCE * timeout), indexes, timeout=timeout
        )
        await stack.enter_async_context(operations.running())
        job_store = JobStore(database)
        webhooks = WebhookSender(
            Webhooks(database),
            UrlFetcher(settings.webhook_policy),
            settings.webhook_secret,
            interval=settings.gateway_sweep_interval,
        )
        admission = AdmissionControl(redis, settings.gateway_max_queue_age)
        made = TaskRunner(
            settings,
            client,
            job_store=job_store,
            batches=BatchJobStore(database),
            webhooks=webhooks,
            admission=admission,
            stats=ServiceStats(admission, database),
            rates=RateLimiter(redis, settings.gateway_rate, settings.gateway_burst),
            keys=ApiKeys(database),
            indexes=indexes,
            operations=operations,
        )
        stack.callback(made.uploads.close)
        sweeper = Sweeper(
            client,
            made.jobs,
            job_store,
            operations,
            SessionLock(database, LockName.GATEWAY_SWEEPER),
            interval=settings.gateway_sweep_interval,
            keep=settings.gateway_keep_jobs,
        )
        await stack.enter_async_context(sweeper.running())
        await stack.enter_async_context(webhooks.running())
        yield made


def gateway(request: Request) -> TaskRunner:
    """The process's task runner, as a dependency of endpoints."""
    services: Any = request.app.state.services
    found: TaskRunner = services
    return found
