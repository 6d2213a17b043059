"""Rows of files: embeddings with labels, external ids and metadata, read, checked and appended in parts."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index_store.gallery_rows import GalleryRows
from index_store.vectors import check_model, new_vectors
from paddlewheel.errors import DimensionMismatch, InvalidRequest, LabelListInvalid
from paddlewheel.sources.label_list import read_labels

_PART = 10_000
_OPERATION_LENGTH = 180
"""Of the 200 characters of an operation id; the rest is for the number of a part."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Embeddings of shape (n, dimension) as a file has them, not checked yet, and what belongs to each."""

    embeddings: npt.NDArray[Any]
    labels: tuple[str, ...]
    external_ids: tuple[str, ...] | None = None
    metadata: tuple[Mapping[str, Any] | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def parts(self, size: int) -> Iterator["Rows"]:
        """The same rows, so many at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Rows(
                embeddings=self.embeddings[part],
                labels=self.labels[part],
                external_ids=self.external_ids and self.external_ids[part],
                metadata=self.metadata and self.metadata[part],
            )


def read_rows(
    embeddings: Path, labels: Path, external_ids: Path | None = None, metadata: Path | None = None
) -> Rows:
    """Rows of files that agree in their number; blank lines of the text files do not count."""
    array = read_embeddings(embeddings)
    return Rows(
        embeddings=array,
        labels=_lines(labels, "labels", len(array)),
        external_ids=_lines(external_ids, "external ids", len(array)) if external_ids else None,
        metadata=_metadata(metadata, len(array)) if metadata else None,
    )


def read_embeddings(path: Path) -> npt.NDArray[Any]:
    """An .npy file of shape (n, dimension), which stays on the disk until its rows are looked at."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as err:
        if zipfile.is_zipfile(path):
            raise InvalidRequest(f"{path} is an .npz archive: save its array by itself, as .npy.") from err
        raise InvalidRequest(f"{path} is not an .npy file of numbers.") from err
    if array.dtype.kind not in "fiu":
        raise InvalidRequest(f"{path} is not an .npy file of numbers.")
    if array.ndim != 2:
        raise DimensionMismatch(
            f"{path} has the shape {array.shape}, not (n, dimension); one embedding has (1, dimension)."
        )
    return array


def check_rows(
    store: GalleryRows, key: str, rows: Rows, operation_id: str | None, model_fingerprint: str | None
) -> None:
    """Raise what `append_rows` would, before anything is stored and by the numbers of the file's rows."""
    if operation_id is not None and not 1 <= len(operation_id) <= _OPERATION_LENGTH:
        raise InvalidRequest(f"The operation id of an append is 1 to {_OPERATION_LENGTH} characters.")
    spec = store.gallery(key).spec
    check_model(spec, model_fingerprint)
    checked = 0
    for part in rows.parts(_PART):  # each reads its piece of the file, however large that is
        new_vectors(spec, part.embeddings, part.labels, part.external_ids, part.metadata, first_row=checked)
        checked += len(part)


def append_rows(
    store: GalleryRows,
    key: str,
    rows: Rows,
    operation_id: str,
    model_fingerprint: str | None,
    progress: Callable[[int], None],
) -> list[int]:
    """Append in parts, each an operation of its own that is not done twice; the ids in the rows' order."""
    ids: list[int] = []
    for part in rows.parts(_PART):
        appended = store.append(
            key,
            part.embeddings,
            part.labels,
            external_ids=part.external_ids,
            metadata=part.metadata,
            model_fingerprint=model_fingerprint,
            operation_id=f"{operation_id}/{len(ids)}",
        )
        ids += appended.ids
        progress(len(part))
    return ids


def _lines(path: Path, what: str, count: int) -> tuple[str, ...]:
    lines = read_labels(path)
    if len(lines) != count:
        raise LabelListInvalid(f"{path.name} has {len(lines)} {what} for {count} embeddings.")
    return lines


def _metadata(path: Path, count: int) -> tuple[Mapping[str, Any] | None, ...]:
    lines = _lines(path, "lines of metadata", count)
    return tuple(_object(path, row, line) for row, line in enumerate(lines))


def _object(path: Path, row: int, line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError as err:
        raise LabelListInvalid(f"{path.name}: the metadata of row {row} is not JSON.") from err
    if found is not None and not isinstance(found, dict):
        raise LabelListInvalid(f"{path.name}: the metadata of row {row} is neither an object nor null.")
    return found
