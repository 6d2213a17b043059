"""Galleries and the answers of their operations: frozen values that cross the package's boundary."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from paddlewheel.errors import InvalidRequest

Metric = Literal["IP", "L2"]
"""IP: inner product, higher is nearer. L2: squared Euclidean distance as FAISS gives it, lower is nearer."""
IndexType = Literal["auto", "Flat", "IVF", "HNSW32"]
Precision = Literal["fp16", "fp32"]
Level = Literal["vector", "label"]

Embeddings = npt.NDArray[np.float32]
"""Shape (n, dimension)."""
Ids = npt.NDArray[np.int64]

MAX_DIMENSION = 4096
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class GallerySpec:
    """What a gallery is created with. `model_fingerprint` names the model that makes its embeddings."""

    dimension: int
    metric: Metric = "IP"
    index_type: IndexType = "auto"
    precision: Precision = "fp16"
    model_fingerprint: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.dimension <= MAX_DIMENSION:
            raise InvalidRequest(f"A dimension is between 1 and {MAX_DIMENSION}, not {self.dimension}.")
        for name, value, known in (
            ("metric", self.metric, get_args(Metric)),
            ("index type", self.index_type, get_args(IndexType)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in known:
                raise InvalidRequest(f"The {name} {value!r} is not one of {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """A gallery's row. `generation` counts its commits; rows up to `sealed_generation` are in segments."""

    id: int
    key: str
    spec: GallerySpec
    generation: int
    sealed_generation: int
    live: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Appended:
    """The vectors' ids in the order given. `repeated`: the operation had been done before.

    `note` is what the caller gave to the operation when it was done.
    """

    operation_id: str
    generation: int
    ids: tuple[int, ...]
    repeated: bool = False
    note: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The ids that were live and now are not, ascending. `repeated`: the operation had been done before."""

    operation_id: str
    generation: int
    ids: tuple[int, ...]
    repeated: bool = False


class SearchHit(NamedTuple):
    """One found vector. `external_id` and `metadata` are filled in when the search asks for details.

    A named tuple, because a search makes many: a frozen dataclass takes four times as long.
    """

    id: int
    label: str
    score: float
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class VectorRecord:
    """One live vector as it is stored; `embedding` has the shape (dimension,)."""

    id: int
    label: str
    external_id: str | None
    metadata: Mapping[str, Any] | None
    embedding: Embeddings


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A sealed run of a gallery's generations, `low` exclusive and `high` inclusive.

    `file` is None while nothing of the run is live. `dead` counts the rows removed since it was built and
    `oldest_removal` is when the first of them was; `recall` is the self-test's share of right best hits.
    """

    id: str
    low: int
    high: int
    rows: int
    kind: str
    file: str | None
    bytes: int
    sha256: str
    recall: float | None
    created_at: datetime
    damaged: bool = False
    dead: int = 0
    oldest_removal: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Description:
    """A gallery with what it is made of. `unsealed` counts the live rows that no segment holds yet."""

    gallery: Gallery
    segments: tuple[Segment, ...]
    unsealed: int
    tombstones: int
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class GalleryTotals:
    """All galleries of a database; `most_unsealed` are the changes in no file of the one furthest behind."""

    galleries: int
    vectors: int
    most_unsealed: int
    largest: tuple[Gallery, ...]


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """What was deleted with a gallery; the next garbage collection deletes its files."""

    key: str
    vectors: int
    segments: tuple[str, ...]


def check_key(key: str) -> str:
    """The key itself, or InvalidRequest."""
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"The gallery key {key[:50]!r} is not 1 to 200 of letters, digits, dot, colon, dash, underscore."
        )
    return key
