"""Galleries as tasks: built of images, appended to, searched, and taken care of.

What embeds images runs on the queue `gpu`, the rest on `index`. Every change takes an `operation_id`, by
default the task's id: repeated, it changes nothing and answers what it answered before.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from paddlewheel.contracts.base import ImageRef, ItemError, ModelName, Request, TaskSpec
from paddlewheel.contracts.search import GalleryKey, Match, Search
from paddlewheel.errors import PaddlewheelError, error_from

MAX_ITEMS: Final = 64
"""Images in one task: small steps, so that a lost worker costs little."""

GalleryKind = Literal["faces", "images"]
"""Whether an image stands for the faces in it or for itself."""

SeveralFaces = Literal["reject", "largest", "all"]
"""What to do with an image of several faces: refuse it, take the largest face, or take each."""

IndexType = Literal["auto", "Flat", "IVF", "HNSW32"]
Metric = Literal["IP", "L2"]
Precision = Literal["fp16", "fp32"]

OperationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,199}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]*$")]
FolderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,249}$")]


class LabelledImage(BaseModel):
    """An image and the label that it gets.

    `external_id` is the caller's own id for it, by which it can be removed; by default its blob's address.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: ImageRef
    label: Label
    external_id: Label | None = None

    @property
    def identity(self) -> str:
        """The external id that it is stored under: the same image has the same."""
        return self.external_id or self.image.blob


class _ChangeGallery(Request):
    gallery: GalleryKey
    operation_id: OperationId | None = None


class _AddImages(_ChangeGallery):
    several_faces: SeveralFaces = "reject"
    detection_model: ModelName | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)


class BuildGallery(_AddImages):
    """A new gallery, with its first images or with none.

    `model` makes its embeddings and is remembered: later images and searches are embedded by the same.
    """

    kind: GalleryKind
    items: tuple[LabelledImage, ...] = Field(default=(), max_length=MAX_ITEMS)
    model: ModelName | None = None
    metric: Metric = "IP"
    index_type: IndexType = "auto"
    precision: Precision = "fp16"


class AppendGallery(_AddImages):
    """More images in a gallery that there is."""

    items: tuple[LabelledImage, ...] = Field(min_length=1, max_length=MAX_ITEMS)


class RemoveGallery(_ChangeGallery):
    """Take vectors out of a gallery, named by exactly one of the three lists; unknown ones are skipped."""

    ids: tuple[int, ...] | None = Field(default=None, max_length=10_000)
    labels: tuple[Label, ...] | None = Field(default=None, max_length=10_000)
    external_ids: tuple[Label, ...] | None = Field(default=None, max_length=10_000)

    @model_validator(mode="after")
    def _one_list(self) -> "RemoveGallery":
        if sum(given is not None for given in (self.ids, self.labels, self.external_ids)) != 1:
            raise ValueError("name what to remove by exactly one of ids, labels and external_ids")
        return self


class SearchGallery(Search):
    """Search by features that one has: up to 64, each of the gallery's dimension.

    `model` says whose features these are; a gallery of another model refuses them.
    """

    features: tuple[tuple[float, ...], ...] = Field(min_length=1, max_length=64)
    model: ModelName | None = None


class DescribeGallery(Request):
    """Ask what a gallery is made of."""

    gallery: GalleryKey


class DeleteGallery(Request):
    """Delete a gallery with all that it holds."""

    gallery: GalleryKey


class ExportGallery(_ChangeGallery):
    """Write a gallery as PaddleX's folder into the worker's exchange folder."""

    index_type: Literal["Flat", "IVF", "HNSW32"] | None = None


class ImportGallery(_ChangeGallery):
    """A new gallery out of PaddleX's folder in the worker's exchange folder.

    `kind` and `model` bind it to the model that made its vectors, so that images can be added and searched;
    for faces `detection_model` is the detector whose faces were embedded.
    """

    folder: FolderName
    kind: GalleryKind | None = None
    model: ModelName | None = None
    detection_model: ModelName | None = None
    index_type: IndexType | None = None
    precision: Precision = "fp16"

    @model_validator(mode="after")
    def _whole(self) -> "ImportGallery":
        if self.model is not None and self.kind is None:
            raise ValueError("a model needs the kind of the gallery: faces or images")
        return self


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True)


class ImageOutcome(_Answer):
    """What became of one image.

    indexed: `ids` are its vectors, more than one where every face is taken. duplicate: the same image is
    there under the same label. unreadable: `error` says why. failed: a model failed on it.
    """

    status: Literal["indexed", "no_face", "several_faces", "unreadable", "duplicate", "failed"]
    label: str
    input_path: str | None = None
    ids: tuple[int, ...] = ()
    error: ItemError | None = None

    def raise_for_error(self) -> None:
        """Raise the typed error of an image that is not indexed: NoFace, SeveralFaces, ImageCorrupt, ..."""
        if self.error is not None:
            raise error_from(self.error.code, self.error.message)

    @property
    def exception(self) -> PaddlewheelError | None:
        """The same error, as a value."""
        return None if self.error is None else error_from(self.error.code, self.error.message)


class AddedImages(_Answer):
    """The outcome of each image, in the order given. `repeated`: the operation had been done before."""

    gallery: str
    operation_id: str
    generation: int
    outcomes: tuple[ImageOutcome, ...]
    repeated: bool = False

    @property
    def id_map(self) -> dict[int, str]:
        """The label of each new vector by its id."""
        return {each: outcome.label for outcome in self.outcomes for each in outcome.ids}


class RemovedVectors(_Answer):
    """The receipt of a removal.

    `ids` were live and now are not. From `removed_at` on no search answers with them; `verified_at` is when
    they had been looked for in vain, by their ids and by searches for `searched` of the removed embeddings.
    Files that hold them are deleted not later than `purge_by`, and were by `purged_at`.
    """

    gallery: str
    operation_id: str
    ids: tuple[int, ...]
    removed_at: datetime
    verified_at: datetime | None
    searched: int | None = None
    purge_by: datetime
    purged_at: datetime | None


class FoundVectors(_Answer):
    """The matches of each feature, in the order of the features."""

    gallery: str
    rec_results: tuple[tuple[Match, ...], ...] = Field(
        validation_alias="recResults", serialization_alias="recResults"
    )


class GalleryDescription(_Answer):
    """What a gallery is made of.

    `kind` and `model` are None where its vectors were not made of images. `unsealed` counts the vectors
    that no file holds yet.
    """

    gallery: str
    kind: GalleryKind | None
    model: str | None
    model_fingerprint: str | None
    dimension: int
    metric: Metric
    index_type: IndexType
    precision: Precision
    vectors: int
    unsealed: int
    tombstones: int
    segments: int
    file_bytes: int
    generation: int
    created_at: datetime


class DeletedGallery(_Answer):
    """How many vectors went; `existed` is false where there was no such gallery, as on a repeated task."""

    gallery: str
    vectors: int
    existed: bool


class ExportedGallery(_Answer):
    """The folder's name in the worker's exchange folder, and how many vectors it holds.

    `vectors` is None where the same operation had written it before.
    """

    gallery: str
    folder: str
    vectors: int | None


class ImportedGallery(_Answer):
    """The new gallery. `repaired`: the folder's IVF index had been damaged by a removal and was put right."""

    gallery: str
    operation_id: str
    vectors: int
    dimension: int
    metric: Metric
    repaired: bool


BUILD_GALLERY = TaskSpec(name="gallery.build", queue="gpu", request=BuildGallery, result=AddedImages)
APPEND_GALLERY = TaskSpec(name="gallery.append", queue="gpu", request=AppendGallery, result=AddedImages)
REMOVE_GALLERY = TaskSpec(name="gallery.remove", queue="index", request=RemoveGallery, result=RemovedVectors)
SEARCH_GALLERY = TaskSpec(name="gallery.search", queue="index", request=SearchGallery, result=FoundVectors)
DESCRIBE_GALLERY = TaskSpec(
    name="gallery.describe", queue="index", request=DescribeGallery, result=GalleryDescription
)
DELETE_GALLERY = TaskSpec(name="gallery.delete", queue="index", request=DeleteGallery, result=DeletedGallery)
EXPORT_GALLERY = TaskSpec(name="gallery.export", queue="index", request=ExportGallery, result=ExportedGallery)
IMPORT_GALLERY = TaskSpec(name="gallery.import", queue="index", request=ImportGallery, result=ImportedGallery)
