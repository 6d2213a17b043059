"""Paddlewheel's client: put an image, enqueue a task, get a typed result.

from api_client import READ_PAGES, Client

with Client("redis://localhost:6379/0") as client:
    document = client.enqueue(READ_PAGES, "page.png").result(timeout=60)
    print(document.text)
"""

from api_client.async_client import AsyncClient
from api_client.client import Client, Pending
from api_client.contracts import (
    READ_PAGES,
    RECOGNIZE_TEXT,
    RECOGNIZE_TEXTS,
    ImageRef,
    Priority,
    ReadPages,
    RecognizeText,
    RecognizeTexts,
    TaskSpec,
)
from api_client.errors import CallerError, OperatorError, PaddlewheelError
from api_client.pending import AsyncPending
from api_client.result_store import TaskStatus
from api_client.results import Page, ReadDocument, RecognizedText, Served

__all__ = [
    "READ_PAGES",
    "RECOGNIZE_TEXT",
    "RECOGNIZE_TEXTS",
    "AsyncClient",
    "AsyncPending",
    "CallerError",
    "Client",
    "ImageRef",
    "OperatorError",
    "PaddlewheelError",
    "Page",
    "Pending",
    "Priority",
    "ReadDocument",
    "ReadPages",
    "RecognizeText",
    "RecognizeTexts",
    "RecognizedText",
    "Served",
    "TaskSpec",
    "TaskStatus",
]
