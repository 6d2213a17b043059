"""Reading text."""

from typing import Final

from paddlewheel.contracts.text import (
    READ_PAGES,
    RECOGNIZE_TEXT,
    ReadDocument,
    ReadPages,
    RecognizedText,
    RecognizeText,
)
from tasks.batched import batched_task
from tasks.context import TaskContext
from tasks.resources import resources
from tasks.steps import Steps

LINES_AT_ONCE: Final = 256
"""A line holds no picture while it waits, only its tensor."""

DOCUMENTS_AT_ONCE: Final = 8
"""Each holds a page; the lines of eight pages fill any batch."""


@batched_task(RECOGNIZE_TEXT, at_once=LINES_AT_ONCE)
def recognize_text(request: RecognizeText, context: TaskContext) -> Steps[RecognizedText]:
    """One text line in one image."""
    return resources().text.recognize(request, context)


@batched_task(READ_PAGES, at_once=DOCUMENTS_AT_ONCE)
def read_pages(request: ReadPages, context: TaskContext) -> Steps[ReadDocument]:
    """Every text line on one or more pages."""
    return resources().text.read(request, context)
