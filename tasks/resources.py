"""What tasks may use. The worker builds it once a process and installs it here; tests install their own."""

from typing import Protocol

from api_client.contracts import ReadPages, RecognizedTexts, RecognizeText, RecognizeTexts
from api_client.results import ReadDocument, RecognizedText
from tasks.context import TaskContext


class TextReader(Protocol):
    """Reads text in images."""

    def recognize(self, request: RecognizeText, task: TaskContext) -> RecognizedText:
        """One text line."""

    def recognize_many(self, request: RecognizeTexts, task: TaskContext) -> RecognizedTexts:
        """Many text lines; one that fails does not fail the others."""

    def read(self, request: ReadPages, task: TaskContext) -> ReadDocument:
        """The pages of an image or a PDF."""


class Cancellations(Protocol):
    """Which tasks are no longer wanted."""

    def arrived(self, task_id: str) -> None:
        """Look a task up as it starts."""

    def is_cancelled(self, task_id: str) -> bool:
        """Whether it has been cancelled by now; costs nothing."""

    def finished(self, task_id: str) -> None:
        """Forget it."""


class Resources(Protocol):
    """Everything that task bodies and their binding reach for."""

    @property
    def text(self) -> TextReader:
        """Models that read text."""

    @property
    def cancellations(self) -> Cancellations:
        """Cancelled tasks."""


_installed: list[Resources] = []


def install(resources: Resources) -> None:
    """Make these the process's resources."""
    _installed[:] = [resources]


def resources() -> Resources:
    """The process's resources."""
    if not _installed:
        raise RuntimeError("No resources are installed: tasks run inside a worker.")
    return _installed[0]
