"""What tasks may use. The worker builds it once a process and installs it here; tests install their own."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

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
    RecognizeText,
)
from paddlewheel.errors import PaddlewheelError
from tasks.context import TaskContext
from tasks.delivery import Delivery
from tasks.steps import Steps


class StoredImages(Protocol):
    """The images that requests name."""

    def prefetch(self, requests: Iterable[Any]) -> Iterator[Any]:
        """The requests in order, the images of a portion fetched at once before its first is yielded.

        Raises BlobStoreUnavailable.
        """


class TextReader(Protocol):
    """Reads text in images."""

    def recognize(self, request: RecognizeText, task: TaskContext) -> Steps[RecognizedText]:
        """One text line."""

    def read(self, request: ReadPages, task: TaskContext) -> Steps[ReadDocument]:
        """The pages of an image or a PDF."""


class Faces(Protocol):
    """Finds, embeds and identifies faces."""

    def detect(self, request: DetectFaces, task: TaskContext) -> Steps[DetectedFaces]:
        """The faces in a picture."""

    def embed(self, request: EmbedFaces, task: TaskContext) -> Steps[EmbeddedFaces]:
        """The faces in a picture, with their embeddings."""

    def identify(self, request: IdentifyFaces, task: TaskContext) -> Steps[IdentifiedFaces]:
        """The faces in a picture, and whose they are."""


class Pictures(Protocol):
    """Knows whole pictures."""

    def extract(self, request: ExtractFeature, task: TaskContext) -> Steps[ExtractedFeature]:
        """The feature of a picture."""

    def search(self, request: SearchImage, task: TaskContext) -> Steps[SimilarImages]:
        """The pictures of a gallery that are like this one."""

    def classify(self, request: ClassifyImage, task: TaskContext) -> Steps[ClassifiedImage]:
        """What a picture shows."""


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
    def images(self) -> StoredImages:
        """The images that requests name."""

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
