"""From the labelled images of a task to rows of a gallery, with an outcome for every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paddlewheel.contracts.base import ItemError
from paddlewheel.contracts.galleries import (
    AppendGallery,
    BuildGallery,
    GalleryKind,
    ImageOutcome,
    LabelledImage,
)
from paddlewheel.contracts.galleries import SeveralFaces as Policy
from paddlewheel.errors import (
    BlobError,
    DuplicateImage,
    FaceError,
    ImageError,
    InternalError,
    ModelCrashed,
    ModelFailed,
    ModelTimeout,
    NoFace,
    PaddlewheelError,
    PdfError,
    SeveralFaces,
)
from tasks.context import TaskContext
from tasks.steps import Steps, run, run_each
from workers.services.embedders import Embedder
from workers.services.face_finding import FaceDetector
from workers.services.faces import BatchedFaces
from workers.services.pictures import BatchedPictures

_UNREADABLE = (BlobError, ImageError, PdfError)
_FAILED = (InternalError, ModelCrashed, ModelFailed, ModelTimeout)
_GREY = 127

Status = Literal["indexed", "no_face", "several_faces", "unreadable", "duplicate", "failed"]


@dataclass(frozen=True, kw_only=True)
class ImageEmbedder:
    """What embeds the images of one gallery; faces are found by `detector` first."""

    kind: GalleryKind
    embedder: Embedder
    detector: FaceDetector | None

    @property
    def fingerprint(self) -> str:
        """What the gallery is bound to."""
        return self.embedder.fingerprint(self.kind, self.detector.way if self.detector else None)


@dataclass(frozen=True, kw_only=True, eq=False)
class _EmbeddingOutcome:
    """One image's embeddings, or its error."""

    embeddings: tuple[NDArray[np.float32], ...] = ()
    error: PaddlewheelError | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedImages:
    """Rows for the gallery (n, D), and the note that rebuilds the outcomes when the operation is repeated."""

    rows: NDArray[np.float32]
    labels: tuple[str, ...]
    external_ids: tuple[str, ...]
    note: Mapping[str, Any]

    @staticmethod
    def outcomes(
        items: Sequence[LabelledImage], note: Mapping[str, Any], ids: Sequence[int]
    ) -> tuple[ImageOutcome, ...]:
        """The outcome of each image, from the note and the ids of all rows in their order."""
        outcomes, rest = [], iter(ids)
        for item, (status, count, error) in zip(items, note.get("outcomes", ()), strict=True):
            outcome = ImageOutcome(
                status=status,
                label=item.label,
                input_path=item.image.input_path,
                ids=tuple(next(rest) for _ in range(count)),
                error=None if error is None else ItemError(code=error[0], message=error[1]),
            )
            outcomes.append(outcome)
        return tuple(outcomes)


class GalleryImages:
    """Embeds images for galleries of faces and of pictures."""

    def __init__(self, faces: BatchedFaces, pictures: BatchedPictures) -> None:
        self._faces = faces
        self._pictures = pictures

    def embedder(self, kind: GalleryKind, model: str | None, detection_model: str | None) -> ImageEmbedder:
        """What embeds for a gallery. Raises FamilyNotServed, ModelUnknown."""
        if kind == "images":
            return ImageEmbedder(kind=kind, embedder=self._pictures.embedder(model), detector=None)
        detector = self._faces.detector(detection_model)
        return ImageEmbedder(kind=kind, embedder=self._faces.embedder(model), detector=detector)

    def dimension(self, embedder: ImageEmbedder, embedded: EmbeddedImages, task: TaskContext) -> int:
        """Of the gallery's vectors; where no image could be embedded, a grey picture is."""
        if len(embedded.rows):
            return int(embedded.rows.shape[1])
        grey = np.full((256, 256, 3), _GREY, np.uint8)
        embedding, _ = run(self._pictures.embed_pixels(grey, embedder.embedder, task))
        return len(embedding)

    def embed(
        self,
        items: Sequence[LabelledImage],
        embedder: ImageEmbedder,
        request: AppendGallery | BuildGallery,
        task: TaskContext,
        *,
        known: frozenset[tuple[str, str]] = frozenset(),
    ) -> EmbeddedImages:
        """Embed every image; whatever is wrong with one is its own outcome.

        `known` are the external id and the label of images that the gallery has; those are not embedded.
        Raises what is nobody's image's fault: BlobStoreUnavailable, TaskCancelled, DeadlineExceeded.
        """
        first = {(item.identity, item.label): place for place, item in reversed(list(enumerate(items)))}
        fresh = sorted(place for key, place in first.items() if key not in known)
        works = (self._embed_item(items[place], embedder, request, task) for place in fresh)
        results = dict(zip(fresh, (_to_outcome(each) for each in run_each(works)), strict=True))
        duplicate = _EmbeddingOutcome(
            error=DuplicateImage("The image is in the gallery already, under the same label.")
        )
        outcomes = []
        for place, item in enumerate(items):
            origin = results.get(first[item.identity, item.label], duplicate)
            indexed_before = place not in results and origin.error is None
            outcomes.append(duplicate if indexed_before else origin)
        return _collect_rows(items, outcomes, results)

    def _embed_item(
        self,
        item: LabelledImage,
        embedder: ImageEmbedder,
        request: AppendGallery | BuildGallery,
        task: TaskContext,
    ) -> Steps[_EmbeddingOutcome]:
        if embedder.detector is None:
            _, embedding, _ = yield from self._pictures.embed_stored(item.image, 0, embedder.embedder, task)
            return _EmbeddingOutcome(embeddings=(embedding,))
        found = yield from self._faces.find_faces(item.image, 0, embedder.detector, request.min_score, task)
        faces = _pick_faces(found.faces, request.several_faces)
        embeddings, _ = yield from self._faces.embed_faces(found.page.image, faces, embedder.embedder, task)
        return _EmbeddingOutcome(embeddings=tuple(embeddings))


def _pick_faces(faces: Sequence[Any], policy: Policy) -> Sequence[Any]:
    if not faces:
        raise NoFace("No face was found in the image.")
    if len(faces) > 1 and policy == "reject":
        raise SeveralFaces(
            f"The image shows {len(faces)} faces: cut one out, or ask for the largest or for all."
        )
    return faces if policy == "all" else faces[:1]


def _to_outcome(result: _EmbeddingOutcome | PaddlewheelError) -> _EmbeddingOutcome:
    """An error as the image's own outcome; raises it where it is not the image's."""
    if isinstance(result, _EmbeddingOutcome):
        return result
    if isinstance(result, (*_UNREADABLE, *_FAILED, FaceError)):
        return _EmbeddingOutcome(error=result)
    raise result


def _collect_rows(
    items: Sequence[LabelledImage],
    outcomes: Sequence[_EmbeddingOutcome],
    results: Mapping[int, _EmbeddingOutcome],
) -> EmbeddedImages:
    rows = [
        (embedding, items[place].label, items[place].identity)
        for place in sorted(results)
        for embedding in results[place].embeddings
    ]
    empty = np.empty((0, 0), np.float32)
    return EmbeddedImages(
        rows=np.stack([row[0] for row in rows]) if rows else empty,
        labels=tuple(row[1] for row in rows),
        external_ids=tuple(row[2] for row in rows),
        note={"outcomes": [_to_note(outcome) for outcome in outcomes]},
    )


def _to_note(outcome: _EmbeddingOutcome) -> tuple[Status, int, tuple[str, str] | None]:
    error = outcome.error
    if error is None:
        return "indexed", len(outcome.embeddings), None
    return _status_of(error), 0, (error.code, error.message)


def _status_of(error: PaddlewheelError) -> Status:
    if isinstance(error, NoFace):
        return "no_face"
    if isinstance(error, SeveralFaces):
        return "several_faces"
    if isinstance(error, DuplicateImage):
        return "duplicate"
    return "unreadable" if isinstance(error, _UNREADABLE) else "failed"
