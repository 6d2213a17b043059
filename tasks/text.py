"""Reading text."""

from paddlewheel.contracts.text import (
    READ_PAGES,
    RECOGNIZE_TEXT,
    RECOGNIZE_TEXTS,
    ReadDocument,
    ReadPages,
    RecognizedText,
    RecognizedTexts,
    RecognizeText,
    RecognizeTexts,
)
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources


@task(RECOGNIZE_TEXT)
def recognize_text(request: RecognizeText, context: TaskContext) -> RecognizedText:
    """One text line in one image."""
    return resources().text.recognize(request, context)


@task(RECOGNIZE_TEXTS)
def recognize_texts(request: RecognizeTexts, context: TaskContext) -> RecognizedTexts:
    """Many text lines in one message."""
    return resources().text.recognize_many(request, context)


@task(READ_PAGES)
def read_pages(request: ReadPages, context: TaskContext) -> ReadDocument:
    """Every text line on one or more pages."""
    return resources().text.read(request, context)
