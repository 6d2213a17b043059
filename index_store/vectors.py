"""Embeddings on their way in: checked, and written as the bytes that Postgres keeps."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from index_store.gallery import Embeddings, GallerySpec, Precision
from paddlewheel.errors import DimensionMismatch, InvalidRequest, ModelMismatch, VectorInvalid

MAX_LABEL_BYTES = 1024
_DTYPES: dict[Precision, np.dtype[Any]] = {"fp16": np.dtype("<f2"), "fp32": np.dtype("<f4")}
_RANGES: dict[Precision, tuple[float, float]] = {
    "fp16": (float(np.finfo(np.float16).tiny), float(np.finfo(np.float16).max)),
    "fp32": (float(np.finfo(np.float32).smallest_subnormal), 1e17),
}
"""Between which the largest value of an embedding has to be.

For fp32 the largest squared distance, 4 * MAX_DIMENSION * 1e17**2, has to be below float32's largest number:
rows at an infinite distance cannot be distinguished.
"""
_SMALLER: dict[Precision, str] = {"fp16": "use fp32", "fp32": "normalise the embeddings"}


@dataclass(frozen=True, kw_only=True)
class NewVectors:
    """Checked rows, ready to be stored: `codes` has the shape (n, bytes of one embedding).

    `request_digest` distinguishes a repeated operation from another one where the rows cannot: the same
    image may be embedded a last bit differently the next time. `note` is kept with the operation.
    """

    codes: npt.NDArray[np.uint8]
    labels: tuple[str, ...]
    external_ids: tuple[str | None, ...]
    metadata: tuple[str | None, ...]
    request_digest: bytes | None = None
    note: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything in them, by which a repeated operation is recognized."""
        if self.request_digest is not None:
            return self.request_digest
        digest = sha256(self.codes.tobytes())
        digest.update(json.dumps([self.labels, self.external_ids, self.metadata]).encode())
        return digest.digest()


def new_vectors(
    spec: GallerySpec,
    embeddings: npt.ArrayLike,
    labels: Sequence[str],
    external_ids: Sequence[str | None] | None = None,
    metadata: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    first_row: int = 0,
) -> NewVectors:
    """Check and encode; raises DimensionMismatch, VectorInvalid or InvalidRequest, naming the row.

    `first_row` is the number of the first one, where these are a part of more.
    """
    checked = checked_embeddings(spec, embeddings, first_row=first_row)
    count = len(checked)
    external_ids = [None] * count if external_ids is None else external_ids
    metadata = [None] * count if metadata is None else metadata
    for name, column in (("labels", labels), ("external ids", external_ids), ("metadata", metadata)):
        if isinstance(column, str) or len(column) != count:
            raise InvalidRequest(f"{count} embeddings need as many {name}, got {len(column)}.")
    return NewVectors(
        codes=encode(checked, spec.precision),
        labels=tuple(_text(label, "label", row) for row, label in enumerate(labels, first_row)),
        external_ids=tuple(
            None if external is None else _text(external, "external id", row)
            for row, external in enumerate(external_ids, first_row)
        ),
        metadata=tuple(_json(value, row) for row, value in enumerate(metadata, first_row)),
    )


def checked_embeddings(spec: GallerySpec, embeddings: npt.ArrayLike, *, first_row: int = 0) -> Embeddings:
    """The embeddings as float32 of shape (n, dimension); one of shape (dimension,) is one row."""
    try:
        array = np.asarray(embeddings, dtype=np.float32)
    except (TypeError, ValueError) as err:
        raise VectorInvalid(
            "The embeddings are not an array of numbers with the shape (n, dimension)."
        ) from err
    if array.ndim == 1 and array.size:
        array = array[np.newaxis]
    if array.ndim != 2 and array.size:
        raise DimensionMismatch(f"Embeddings have the shape (n, {spec.dimension}), not {array.shape}.")
    if array.size == 0:
        return np.empty((0, spec.dimension), np.float32)
    if array.shape[1] != spec.dimension:
        raise DimensionMismatch(
            f"The gallery's embeddings have {spec.dimension} dimensions, these have {array.shape[1]}."
        )
    largest = np.abs(array).max(axis=1)  # not finite where any value of the row is not
    low, high = _RANGES[spec.precision]
    if not (low <= largest.min() and largest.max() <= high):
        large = f"has a value too large for {spec.precision} ({_SMALLER[spec.precision]})"
        for bad, what in (
            (~np.isfinite(largest), "holds a value that is not finite"),
            (largest == 0, "is zero"),
            (largest > high, large),
            (largest < low, f"is zero in {spec.precision} (use fp32)"),
        ):
            if bad.any():
                raise VectorInvalid(f"The embedding in row {first_row + int(np.argmax(bad))} {what}.")
    return array


def check_model(spec: GallerySpec, model_fingerprint: str | None) -> None:
    """Refuse embeddings that name another model than the gallery's; either side may leave it open."""
    if model_fingerprint and spec.model_fingerprint and model_fingerprint != spec.model_fingerprint:
        raise ModelMismatch(
            f"The gallery holds embeddings of {spec.model_fingerprint}, these are of {model_fingerprint}."
        )


def encode(embeddings: Embeddings, precision: Precision) -> npt.NDArray[np.uint8]:
    """Little-endian rows, shape (n, bytes of one embedding)."""
    rows = np.ascontiguousarray(embeddings, dtype=_DTYPES[precision])
    return rows.view(np.uint8).reshape(len(rows), code_size(embeddings.shape[1], precision))


def decode(codes: npt.NDArray[np.uint8], precision: Precision) -> Embeddings:
    """The float32 embeddings of stored rows, shape (n, dimension)."""
    decoded: Embeddings = np.ascontiguousarray(codes).view(_DTYPES[precision]).astype(np.float32)
    return decoded


def code_size(dimension: int, precision: Precision) -> int:
    """Bytes of one stored embedding."""
    return dimension * _DTYPES[precision].itemsize


def is_storable(text: str) -> bool:
    """Whether Postgres can keep the text: it takes neither a NUL nor half of a surrogate pair."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _text(value: str, what: str, row: int) -> str:
    if not isinstance(value, str) or not is_storable(value) or len(value.encode()) > MAX_LABEL_BYTES:
        raise InvalidRequest(
            f"The {what} in row {row} is not text of at most {MAX_LABEL_BYTES} bytes of UTF-8 without a NUL."
        )
    return value


def _json(value: Mapping[str, Any] | None, row: int) -> str | None:
    if value is None:
        return None
    try:
        text = json.dumps(dict(value), allow_nan=False, sort_keys=True)
        storable = "\\u" not in text or all(map(is_storable, _strings(value)))
    except (TypeError, ValueError, RecursionError) as err:
        raise InvalidRequest(f"The metadata in row {row} is not a JSON object: {err}.") from err
    if not storable:
        raise InvalidRequest(
            f"The metadata in row {row} holds a NUL or half of a surrogate pair, which Postgres cannot keep."
        )
    return text


def _strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value, the keys of its objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
