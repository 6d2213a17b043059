"""The HTTP application."""

import importlib.metadata
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI

from gateway.batch_api import batch_router
from gateway.body_limit import BodyLimit
from gateway.envelope import Health
from gateway.galleries_api import galleries_router
from gateway.images_api import images_router
from gateway.metrics import RequestCounts, RequestMetrics, metrics_router
from gateway.page import add_page
from gateway.problems import FAILED_ENVELOPES, handle_errors
from gateway.recognition import recognition_router
from gateway.request_ids import RequestIds, request_id
from gateway.services import TaskRunner, gateway, open_gateway
from gateway.settings import GatewaySettings
from gateway.tasks_api import tasks_router
from gateway.vision import vision_router

log = logging.getLogger(__name__)


def create_app(settings: GatewaySettings) -> FastAPI:
    """Create the application of one process. It connects to the servers at startup."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(settings) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Paddlewheel",
        version=_version(),
        lifespan=lifespan,
        summary=SUMMARY,
        docs_url=None,
        redoc_url=None,
    )
    add_page(app)
    metrics = RequestMetrics()
    handle_errors(app)
    app.add_middleware(BodyLimit, most=settings.gateway_max_body_bytes)
    app.add_middleware(RequestCounts, metrics=metrics)
    app.add_middleware(RequestIds)
    app.include_router(recognition_router("faces", "face-recognition"))
    app.include_router(recognition_router("images", "shitu"))
    app.include_router(vision_router())
    app.include_router(tasks_router())
    app.include_router(images_router())
    app.include_router(galleries_router())
    app.include_router(metrics_router(metrics))
    app.include_router(batch_router())

    @app.get("/health", tags=["Operation"])
    async def health() -> Health:
        """Whether this process answers. No other server is contacted."""
        return Health(logId=request_id())

    @app.get("/ready", tags=["Operation"], responses=FAILED_ENVELOPES)
    async def ready(service: Annotated[TaskRunner, Depends(gateway)]) -> Health:
        """Whether the broker and the database can be reached."""
        await service.check()
        return Health(logId=request_id())

    return app


def _version() -> str:
    try:
        return importlib.metadata.version("paddlewheel")
    except importlib.metadata.PackageNotFoundError:
        return "0"


SUMMARY = "Vision models behind a task queue: PaddleX's services, and every task as a job."
