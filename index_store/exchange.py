"""PaddleX's gallery folder: `vector.index` with `id_map.yaml` (or `index_info.yaml`), read and written.

The names and keys are those of paddlex 3.7.2, paddlex/inference/pipelines/components/faisser.py: its code
writes `id_map.yaml`, its manual says `index_info.yaml`. A folder whose IVF index was shifted by a removal
is put right on the way in (`index_store.indexes.read_foreign_index` says how).
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from database.pool import Database
from index_store.gallery import Appended, Embeddings, Gallery, GallerySpec, Ids, IndexType, Metric
from index_store.indexes import Index, foreign_index, read_foreign_index, write_index
from index_store.progress import Progress, silent
from index_store.rows import copy_out
from index_store.segment_folder import sync_folder
from index_store.vectors import code_size, decode
from paddlewheel.errors import GalleryFolderInvalid, SegmentCorrupt

INDEX_FILE = "vector.index"
INFO_FILES = ("id_map.yaml", "index_info.yaml")

ForeignType = Literal["Flat", "IVF", "HNSW32"]


@dataclass(frozen=True, kw_only=True)
class GalleryFolder:
    """What a folder holds: vectors of shape (n, dimension), and for each its id and label."""

    embeddings: Embeddings
    ids: Ids
    labels: tuple[str, ...]
    index_type: ForeignType
    metric: Metric
    repaired: bool


@dataclass(frozen=True, kw_only=True)
class ImportedVectors:
    """The new vectors; `repaired` says that a damaged IVF index was put right."""

    appended: Appended
    spec: GallerySpec
    repaired: bool


def export_folder(
    database: Database,
    gallery: Gallery,
    folder: Path,
    *,
    index_type: ForeignType | None = None,
    progress: Progress = silent,
) -> int:
    """Write the gallery as a folder that PaddleX loads, whole or not at all; returns the number of vectors.

    The ids are the gallery's own. Without an `index_type` it is the gallery's, `Flat` for `auto` and for
    what PaddleX cannot search: an IVF of fewer than 8 vectors.
    """
    if folder.exists():
        raise _taken(folder)
    progress("read", 0, gallery.live)
    size = code_size(gallery.spec.dimension, gallery.spec.precision)
    with database.snapshot() as cursor:
        rows = copy_out(cursor, gallery.id, 0, 2**62, size)
    progress("read", len(rows), len(rows))
    chosen = index_type or _foreign_type(gallery.spec.index_type)
    if chosen == "IVF" and len(rows) < 8:
        chosen = "Flat"
    vectors = decode(rows.codes, gallery.spec.precision)
    index = foreign_index(chosen, vectors, rows.ids, gallery.spec.metric, progress)
    info = {
        "id_map": dict(zip(rows.ids.tolist(), rows.labels, strict=True)),
        "index_type": chosen,
        "metric_type": gallery.spec.metric,
    }
    progress("write", 0, len(rows))
    _write_folder(folder, index, info)
    progress("write", len(rows), len(rows))
    return len(rows)


def read_folder(folder: Path) -> GalleryFolder:
    """The folder's vectors, ids and labels, or GalleryFolderInvalid with what is wrong."""
    index_path = folder / INDEX_FILE
    if not index_path.is_file():
        raise GalleryFolderInvalid(f"{folder} has no file {INDEX_FILE}.")
    labels, index_type, metric = _read_info(folder)
    try:
        read = read_foreign_index(index_path)
    except SegmentCorrupt as err:
        raise GalleryFolderInvalid(f"{folder}: {err.message}") from err
    if metric != read.metric:
        raise GalleryFolderInvalid(f"{folder} says metric {metric}, but its index has {read.metric}.")
    ids = read.ids.tolist()
    if len(set(ids)) != len(ids) or set(ids) != set(labels):
        raise GalleryFolderInvalid(
            f"{folder} has {len(ids)} vectors and {len(labels)} labels whose ids are not the same."
        )
    return GalleryFolder(
        embeddings=read.vectors,
        ids=read.ids,
        labels=tuple(labels[number] for number in ids),
        index_type=index_type,
        metric=read.metric,
        repaired=read.repaired,
    )


def _write_folder(folder: Path, index: Index, info: Mapping[str, object]) -> None:
    fresh = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    fresh.mkdir(parents=True)
    try:
        write_index(index, fresh / INDEX_FILE)
        with (fresh / INFO_FILES[0]).open("w", encoding="utf-8") as file:
            yaml.dump(info, file, Dumper=_dumper(), default_flow_style=False, allow_unicode=True)
        _sync(fresh)
        _rename(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _rename(fresh: Path, folder: Path) -> None:
    try:
        fresh.rename(folder)
    except OSError as err:
        if folder.exists():  # another worker was faster with the same export
            raise _taken(folder) from err
        raise


def _taken(folder: Path) -> GalleryFolderInvalid:
    return GalleryFolderInvalid(f"{folder} exists already: export to a new folder.")


def _read_info(folder: Path) -> tuple[dict[int, str], ForeignType, str]:
    path = next((folder / name for name in INFO_FILES if (folder / name).is_file()), None)
    if path is None:
        raise GalleryFolderInvalid(f"{folder} has neither {' nor '.join(INFO_FILES)}.")
    try:
        info = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise GalleryFolderInvalid(f"{path} is not YAML: {err}") from err
    if not isinstance(info, Mapping) or not isinstance(info.get("id_map"), Mapping):
        raise GalleryFolderInvalid(f"{path} has no mapping 'id_map'.")
    index_type, metric = info.get("index_type", "Flat"), info.get("metric_type", "IP")
    if index_type not in get_args(ForeignType):
        raise GalleryFolderInvalid(f"{path} has an index_type that is not Flat, IVF or HNSW32.")
    if metric not in get_args(Metric):
        raise GalleryFolderInvalid(f"{path} has a metric_type that is neither IP nor L2.")
    try:
        labels = {int(number): str(label) for number, label in info["id_map"].items()}
    except (TypeError, ValueError) as err:
        raise GalleryFolderInvalid(f"{path} has an id that is not a whole number.") from err
    return labels, cast(ForeignType, index_type), str(metric)


def _foreign_type(index_type: IndexType) -> ForeignType:
    return "Flat" if index_type == "auto" else index_type


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one takes a fifth of the time


def _dumper() -> Any:
    return getattr(yaml, "CSafeDumper", yaml.SafeDumper)
