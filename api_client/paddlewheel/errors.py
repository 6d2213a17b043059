"""Every error that Paddlewheel raises, split by who can act.

PaddlewheelError
├── CallerError                  the request or its input has to change
│   ├── InvalidRequest           invalid_request
│   ├── UnsupportedSource        unsupported_source
│   ├── MissingExtra             missing_extra
│   ├── ModelUnknown             model_unknown
│   ├── TaskNotFound             task_not_found
│   ├── TaskCancelled            task_cancelled
│   ├── DeadlineExceeded         deadline_exceeded
│   ├── ResultTimeout            result_timeout (also a TimeoutError)
│   ├── DeadLetterNotFound       dead_letter_not_found
│   ├── DeadLetterClosed         dead_letter_closed
│   ├── ApiKeyNotFound           api_key_not_found
│   ├── IdempotencyMismatch      idempotency_mismatch
│   ├── BlobError
│   │   ├── BlobNotFound         blob_not_found
│   │   ├── BlobExpired          blob_expired
│   │   ├── BlobTooLarge         blob_too_large
│   │   └── BlobCorrupt          blob_corrupt
│   ├── ImageError
│   │   ├── ImageEmpty           image_empty
│   │   ├── ImageUnsupported     image_unsupported
│   │   ├── ImageCorrupt         image_corrupt
│   │   ├── ImageAnimated        image_animated
│   │   ├── ImageTooLarge        image_too_large
│   │   ├── ImageTooSmall        image_too_small
│   │   └── ImageTooNarrow       image_too_narrow
│   ├── UrlError
│   │   ├── UrlRefused           url_refused
│   │   └── UrlUnavailable       url_unavailable
│   ├── PdfError
│   │   ├── PdfCorrupt           pdf_corrupt
│   │   ├── PdfEncrypted         pdf_encrypted
│   │   ├── PdfPageNotFound      pdf_page_not_found
│   │   └── PdfTooManyPages      pdf_too_many_pages
│   ├── FaceError
│   │   ├── NoFace               no_face
│   │   └── SeveralFaces         several_faces
│   ├── BatchError
│   │   ├── BatchJobNotFound     batch_job_not_found
│   │   ├── BatchJobState        batch_job_state
│   │   ├── AddressRefused       address_refused
│   │   ├── AddressNotFound      address_not_found
│   │   ├── ManifestInvalid      manifest_invalid
│   │   ├── ManifestChanged      manifest_changed
│   │   └── SinkExists           sink_exists
│   └── GalleryError
│       ├── GalleryNotFound      gallery_not_found
│       ├── GalleryExists        gallery_exists
│       ├── DuplicateImage       duplicate_image
│       ├── DimensionMismatch    dimension_mismatch
│       ├── VectorInvalid        vector_invalid
│       ├── ModelMismatch        model_mismatch
│       ├── OperationMismatch    operation_mismatch
│       ├── OperationNotFound    operation_not_found
│       ├── GalleryFolderInvalid gallery_folder_invalid
│       └── LabelListInvalid     label_list_invalid
└── OperatorError                the service has to be mended; the same request may work later
    ├── ConfigurationError       configuration_error
    │   └── AuthenticationFailed authentication_failed
    ├── BrokerUnavailable        broker_unavailable
    ├── BlobStoreUnavailable     blob_store_unavailable
    ├── WorkerOverloaded         worker_overloaded
    ├── FamilyNotServed          family_not_served
    ├── WorkerLost               worker_lost
    ├── ModelUnavailable         model_unavailable
    │   ├── ModelDownloadFailed  model_download_failed
    │   └── ModelFilesRefused    model_files_refused
    ├── ModelFailed              model_failed
    ├── ModelCrashed             model_crashed
    ├── ModelTimeout             model_timeout
    ├── DatabaseUnavailable      database_unavailable
    ├── SchemaOutdated           schema_outdated
    ├── SegmentCorrupt           segment_corrupt
    ├── SegmentStoreUnavailable  segment_store_unavailable
    ├── PlaceUnavailable         place_unavailable
    └── InternalError            internal_error

A message is the only constructor argument, so that an error survives the queue: the result store keeps
its code and its message, and `error_from` builds the same error on the other side.
"""

from typing import ClassVar


class PaddlewheelError(Exception):
    """The root of the tree. `code` is stable and meant for programs, the message for people."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The sentence that says what happened and what to do."""
        return str(self.args[0])


class CallerError(PaddlewheelError):
    """The request or its input has to change before it can work."""

    code = "caller_error"


class InvalidRequest(CallerError):
    """The request does not fit the task's contract."""

    code = "invalid_request"


class UnsupportedSource(CallerError):
    """An image can be put as bytes, a path, a file object, an array or a PIL image."""

    code = "unsupported_source"


class MissingExtra(CallerError):
    """An optional part of the client is not installed."""

    code = "missing_extra"


class ModelUnknown(CallerError):
    """The worker has no model of that name."""

    code = "model_unknown"


class TaskNotFound(CallerError):
    """No task of that id is known: it was never enqueued, or its result has expired."""

    code = "task_not_found"


class TaskCancelled(CallerError):
    """The task was cancelled."""

    code = "task_cancelled"


class DeadlineExceeded(CallerError):
    """The task's deadline passed before a model saw it."""

    code = "deadline_exceeded"


class ResultTimeout(CallerError, TimeoutError):
    """No result came in time; the task continues and can be waited for again."""

    code = "result_timeout"


class DeadLetterNotFound(CallerError):
    """No dead letter has that number or stands for that task."""

    code = "dead_letter_not_found"


class DeadLetterClosed(CallerError):
    """The dead letter has been replayed or discarded already."""

    code = "dead_letter_closed"


class ApiKeyNotFound(CallerError):
    """No API key has that id."""

    code = "api_key_not_found"


class IdempotencyMismatch(CallerError):
    """The idempotency key was used for another request."""

    code = "idempotency_mismatch"


class BlobError(CallerError):
    """The stored bytes that a reference names cannot be used."""

    code = "blob_error"


class BlobNotFound(BlobError):
    """No blob is stored under that reference: put the image first."""

    code = "blob_not_found"


class BlobExpired(BlobError):
    """The blob has outlived its time to live: put the image again."""

    code = "blob_expired"


class BlobTooLarge(BlobError):
    """The image has more bytes than the blob store takes."""

    code = "blob_too_large"


class BlobCorrupt(BlobError):
    """The stored bytes are not those that the reference names: put the image again."""

    code = "blob_corrupt"


class ImageError(CallerError):
    """The bytes are not an image that can be used."""

    code = "image_error"


class ImageEmpty(ImageError):
    """The image has no bytes."""

    code = "image_empty"


class ImageUnsupported(ImageError):
    """The bytes are not a JPEG, PNG, WebP or BMP image."""

    code = "image_unsupported"


class ImageCorrupt(ImageError):
    """The image is cut off or damaged."""

    code = "image_corrupt"


class ImageAnimated(ImageError):
    """The image has more than one frame."""

    code = "image_animated"


class ImageTooLarge(ImageError):
    """The image has more pixels than are allowed."""

    code = "image_too_large"


class ImageTooSmall(ImageError):
    """The image has too few pixels to hold anything."""

    code = "image_too_small"


class ImageTooNarrow(ImageError):
    """One side of the image is too many times longer than the other."""

    code = "image_too_narrow"


class UrlError(CallerError):
    """The image cannot be fetched from its address."""

    code = "url_error"


class UrlRefused(UrlError):
    """Images are not fetched from such an address: put the image instead."""

    code = "url_refused"


class UrlUnavailable(UrlError):
    """The server behind the address did not send an image."""

    code = "url_unavailable"


class PdfError(CallerError):
    """The PDF cannot be used."""

    code = "pdf_error"


class PdfCorrupt(PdfError):
    """The PDF is cut off or damaged."""

    code = "pdf_corrupt"


class PdfEncrypted(PdfError):
    """The PDF needs a password: remove it and put the file again."""

    code = "pdf_encrypted"


class PdfPageNotFound(PdfError):
    """The PDF has no page of that index."""

    code = "pdf_page_not_found"


class PdfTooManyPages(PdfError):
    """The PDF has more pages than one task takes: name fewer in `pages`."""

    code = "pdf_too_many_pages"


class FaceError(CallerError):
    """The image cannot stand for one face."""

    code = "face_error"


class NoFace(FaceError):
    """No face was found in the image: give a picture that shows one, or a lower `min_score`."""

    code = "no_face"


class SeveralFaces(FaceError):
    """The image shows several faces: cut one out, or ask for the largest or for all."""

    code = "several_faces"


class BatchError(CallerError):
    """The batch job cannot be done as it was asked for."""

    code = "batch_error"


class BatchJobNotFound(BatchError):
    """No batch job has that id."""

    code = "batch_job_not_found"


class BatchJobState(BatchError):
    """The batch job is in a state in which this cannot be done."""

    code = "batch_job_state"


class AddressRefused(BatchError):
    """The address is under none of the roots that batch jobs may use, or is no file."""

    code = "address_refused"


class AddressNotFound(BatchError):
    """Nothing is stored at the address."""

    code = "address_not_found"


class ManifestInvalid(BatchError):
    """The manifest is not a list of addresses, one a line."""

    code = "manifest_invalid"


class ManifestChanged(BatchError):
    """The manifest has been changed since the job was planned: submit it as a new job."""

    code = "manifest_changed"


class SinkExists(BatchError):
    """There is a file where the result would be written: name another, or allow to overwrite it."""

    code = "sink_exists"


class GalleryError(CallerError):
    """The gallery or what it was given cannot be used."""

    code = "gallery_error"


class GalleryNotFound(GalleryError):
    """No gallery of that key exists: create it first."""

    code = "gallery_not_found"


class GalleryExists(GalleryError):
    """A gallery of that key exists already: delete it first, or choose another key."""

    code = "gallery_exists"


class DuplicateImage(GalleryError):
    """The image is in the gallery already, under the same label."""

    code = "duplicate_image"


class DimensionMismatch(GalleryError):
    """The embeddings have another dimension than the gallery."""

    code = "dimension_mismatch"


class VectorInvalid(GalleryError):
    """An embedding is zero, not finite or too large: embed the image again."""

    code = "vector_invalid"


class ModelMismatch(GalleryError):
    """The embeddings come from another model than the gallery's."""

    code = "model_mismatch"


class OperationMismatch(GalleryError):
    """The operation id was used for another request: choose a new one."""

    code = "operation_mismatch"


class OperationNotFound(GalleryError):
    """The gallery has no operation of that id."""

    code = "operation_not_found"


class GalleryFolderInvalid(GalleryError):
    """The folder does not hold a gallery that can be imported."""

    code = "gallery_folder_invalid"


class LabelListInvalid(GalleryError):
    """A line of the list of labels or ids cannot be read."""

    code = "label_list_invalid"


class OperatorError(PaddlewheelError):
    """The service has to be mended; the same request may work later."""

    code = "operator_error"


class ConfigurationError(OperatorError):
    """A setting is missing, malformed or contradicts another."""

    code = "configuration_error"


class AuthenticationFailed(ConfigurationError):
    """A server does not accept the user name or password in its URL: correct it there; waiting is no help."""

    code = "authentication_failed"


class BrokerUnavailable(OperatorError):
    """The broker or the result store cannot be reached."""

    code = "broker_unavailable"


class BlobStoreUnavailable(OperatorError):
    """The blob store cannot be reached."""

    code = "blob_store_unavailable"


class WorkerOverloaded(OperatorError):
    """The worker has more waiting items than it may hold: try again later."""

    code = "worker_overloaded"


class FamilyNotServed(OperatorError):
    """The worker does not serve tasks of this family: its settings turn it off, or lack what it needs."""

    code = "family_not_served"


class WorkerLost(OperatorError):
    """Too many workers were lost while they ran the task: it is kept as a dead letter."""

    code = "worker_lost"


class ModelUnavailable(OperatorError):
    """The model is known but could not be loaded."""

    code = "model_unavailable"


class ModelDownloadFailed(ModelUnavailable):
    """The model's files could not be fetched: try again, or name another source."""

    code = "model_download_failed"


class ModelFilesRefused(ModelUnavailable):
    """The files that were fetched are damaged, altered, unsafe or another model's: none was installed."""

    code = "model_files_refused"


class ModelFailed(OperatorError):
    """The model raised an error on this item."""

    code = "model_failed"


class ModelCrashed(OperatorError):
    """The model process died on this item."""

    code = "model_crashed"


class ModelTimeout(OperatorError):
    """The model did not answer for this item in time."""

    code = "model_timeout"


class DatabaseUnavailable(OperatorError):
    """The database cannot be reached: repeat the call with the same operation id."""

    code = "database_unavailable"


class SchemaOutdated(OperatorError):
    """The database lacks the tables of this version: run the migrations."""

    code = "schema_outdated"


class SegmentCorrupt(OperatorError):
    """A segment file is missing, cut off or altered; it is rebuilt from the database."""

    code = "segment_corrupt"


class SegmentStoreUnavailable(OperatorError):
    """The folder or object store of the segment files cannot be used."""

    code = "segment_store_unavailable"


class PlaceUnavailable(OperatorError):
    """A folder or object store that a batch job reads or writes cannot be used."""

    code = "place_unavailable"


class InternalError(OperatorError):
    """An unexpected error; the worker's log has the details under the task's id."""

    code = "internal_error"


def _tree(root: type[PaddlewheelError]) -> dict[str, type[PaddlewheelError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


ERRORS: dict[str, type[PaddlewheelError]] = _tree(PaddlewheelError)
"""Every error class by its code."""


def error_from(code: str, message: str) -> PaddlewheelError:
    """The error of that code; an unknown one (a newer worker's) becomes an InternalError that names it."""
    known = ERRORS.get(code)
    return known(message) if known else InternalError(f"{code}: {message}")
