"""What tasks may use. The worker builds it once a process and installs it here; tests install their own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from paddlewheel.contracts.base import Outcome
from paddlewheel.contracts.batch_jobs import RanShard, RunShard
from paddlewheel.contracts.faces import (
    DetectedFaces,
    DetectFaces,
    EmbeddedFaces,
    EmbedFaces,
    IdentifiedFaces,
    IdentifyFaces,
)
from paddlewheel.contracts.galleries import (
    AddedImages,
    AppendGallery,
    BuildGallery,
    DeletedGallery,
    DeleteGallery,
    DescribeGallery,
    ExportedGallery,
    ExportGallery,
    FoundVectors,
    GalleryDescription,
    ImportedGallery,
    ImportGallery,
    RemovedVectors,
    RemoveGallery,
    SearchGallery,
)
from paddlewheel.contracts.images import (
    ClassifiedImage,
    ClassifyImage,
    ExtractedFeature,
    ExtractFeature,
    SearchImage,
    SimilarImages,
)
from paddlewheel.contracts.text import (
    ReadDocument,
    ReadPages,
    RecognizedText,
    RecognizedTexts,
    RecognizeText,
    RecognizeTexts,
)
from paddlewheel.errors import PaddlewheelError
from tasks.context import TaskContext
from tasks.delivery import Delivery


class TextReader(Protocol):
    """Reads text in images."""

    def recognize(self, request: RecognizeText, task: TaskContext) -> RecognizedText:
        """One text line."""

    def recognize_many(self, request: RecognizeTexts, task: TaskContext) -> RecognizedTexts:
        """Many text lines; one that fails does not fail the others."""

    def read(self, request: ReadPages, task: TaskContext) -> ReadDocument:
        """The pages of an image or a PDF."""


class Faces(Protocol):
    """Finds, embeds and identifies faces; of many pictures, one that fails does not fail the others."""

    def detect(self, request: DetectFaces, task: TaskContext) -> DetectedFaces:
        """The faces in a picture."""

    def detect_many(
        self, requests: Sequence[DetectFaces], task: TaskContext
    ) -> tuple[Outcome[DetectedFaces], ...]:
        """Of many pictures."""

    def embed(self, request: EmbedFaces, task: TaskContext) -> EmbeddedFaces:
        """The faces in a picture, with their embeddings."""

    def embed_many(
        self, requests: Sequence[EmbedFaces], task: TaskContext
    ) -> tuple[Outcome[EmbeddedFaces], ...]:
        """Of many pictures."""

    def identify(self, request: IdentifyFaces, task: TaskContext) -> IdentifiedFaces:
        """The faces in a picture, and whose they are."""

    def identify_many(
        self, requests: Sequence[IdentifyFaces], task: TaskContext
    ) -> tuple[Outcome[IdentifiedFaces], ...]:
        """Of many pictures."""


class Pictures(Protocol):
    """Knows whole pictures; of many, one that fails does not fail the others."""

    def extract(self, request: ExtractFeature, task: TaskContext) -> ExtractedFeature:
        """The feature of a picture."""

    def extract_many(
        self, requests: Sequence[ExtractFeature], task: TaskContext
    ) -> tuple[Outcome[ExtractedFeature], ...]:
        """Of many pictures."""

    def search(self, request: SearchImage, task: TaskContext) -> SimilarImages:
        """What of a gallery is like a picture."""

    def search_many(
        self, requests: Sequence[SearchImage], task: TaskContext
    ) -> tuple[Outcome[SimilarImages], ...]:
        """Of many pictures."""

    def classify(self, request: ClassifyImage, task: TaskContext) -> ClassifiedImage:
        """What a picture shows."""

    def classify_many(
        self, requests: Sequence[ClassifyImage], task: TaskContext
    ) -> tuple[Outcome[ClassifiedImage], ...]:
        """Of many pictures."""


class Galleries(Protocol):
    """Keeps galleries."""

    def build(self, request: BuildGallery, task: TaskContext) -> AddedImages:
        """A new gallery, with its first images."""

    def append(self, request: AppendGallery, task: TaskContext) -> AddedImages:
        """More images in a gallery."""

    def remove(self, request: RemoveGallery, task: TaskContext) -> RemovedVectors:
        """Take vectors out of a gallery."""

    def search(self, request: SearchGallery, task: TaskContext) -> FoundVectors:
        """Search a gallery by features."""

    def describe(self, request: DescribeGallery, task: TaskContext) -> GalleryDescription:
        """What a gallery is made of."""

    def delete(self, request: DeleteGallery, task: TaskContext) -> DeletedGallery:
        """Delete a gallery."""

    def export(self, request: ExportGallery, task: TaskContext) -> ExportedGallery:
        """Write a gallery as PaddleX's folder."""

    def import_(self, request: ImportGallery, task: TaskContext) -> ImportedGallery:
        """A new gallery out of PaddleX's folder."""


class ShardService(Protocol):
    """Does the shards of batch jobs."""

    def run(self, request: RunShard, task: TaskContext) -> RanShard:
        """One shard, unless it is done or somebody else's."""


class Cancellations(Protocol):
    """Which tasks are no longer wanted."""

    def register(self, task_id: str) -> None:
        """Look up a task that starts, and watch it until `unregister`."""

    def is_cancelled(self, task_id: str) -> bool:
        """Whether it has been cancelled by now; costs nothing."""

    def unregister(self, task_id: str) -> None:
        """Stop watching a task that has ended."""


class Deliveries(Protocol):
    """How often a task has been tried, and what becomes of one that is given up."""

    def track(self, delivery: Delivery) -> AbstractContextManager[None]:
        """Count the delivery while its task runs. Raises WorkerLost if it has cost too many workers."""

    def record_dead_letter(self, delivery: Delivery, err: PaddlewheelError) -> None:
        """Keep the request and its error for an operator."""


class Resources(Protocol):
    """Everything that task bodies and their binding reach for."""

    @property
    def text(self) -> TextReader:
        """Models that read text."""

    @property
    def faces(self) -> Faces:
        """Models that see faces."""

    @property
    def pictures(self) -> Pictures:
        """Models that see whole pictures."""

    @property
    def galleries(self) -> Galleries:
        """Galleries of faces and of pictures."""

    @property
    def batch_jobs(self) -> ShardService:
        """Batch jobs."""

    @property
    def cancellations(self) -> Cancellations:
        """Cancelled tasks."""

    @property
    def deliveries(self) -> Deliveries:
        """Deliveries of tasks that may be given up."""


_installed: list[Resources] = []


def install(resources: Resources) -> None:
    """Make these the process's resources."""
    _installed[:] = [resources]


def resources() -> Resources:
    """The process's resources."""
    if not _installed:
        raise RuntimeError("No resources are installed: tasks run inside a worker.")
    return _installed[0]
