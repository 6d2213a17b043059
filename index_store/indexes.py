"""FAISS, and the only place that imports it.

Positions, never ids, go in and come out: FAISS's id maps take duplicates and are wrong over IVF. Removed
rows are filtered by the caller, because the fast-scan kinds refuse selectors.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import faiss
import numpy as np
import numpy.typing as npt

from index_store.gallery import Embeddings, Ids, Metric, Precision
from index_store.progress import Progress, silent
from index_store.vectors import decode
from paddlewheel.errors import SegmentCorrupt, SegmentStoreUnavailable

Kind = Literal["exact", "fast-scan", "ivf", "hnsw"]
"""How a segment is searched: a scan of all rows, PQ fast-scan with refinement, IVF, or an HNSW graph."""
Index: TypeAlias = "faiss.Index"
Found = tuple[Embeddings, Ids]
"""Scores and positions of shape (queries, k), best first; a missing position is -1."""

_METRICS = {"IP": faiss.METRIC_INNER_PRODUCT, "L2": faiss.METRIC_L2}
_TRAINING_ROWS = 65_536
_ADD_ROWS = 65_536
_FOREIGN_ROWS = 4096
_MAX_LISTS = 65_536

_forked = threading.Event()


def _after_fork() -> None:
    # The parent's OpenMP threads are gone in the child, and waiting for them would never end.
    _forked.set()
    faiss.omp_set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)


def use_threads(count: int) -> None:
    """Set how many threads FAISS uses for calls from this thread; always 1 in a forked child."""
    faiss.omp_set_num_threads(1 if _forked.is_set() else count)


def exact_index(codes: npt.NDArray[np.uint8], dimension: int, metric: Metric, precision: Precision) -> Index:
    """A scan over the stored bytes themselves, without any conversion or loss."""
    index = _exact(dimension, metric, precision)
    index.add_sa_codes(np.ascontiguousarray(codes))
    return index


def build_index(
    kind: Kind, codes: npt.NDArray[np.uint8], dimension: int, metric: Metric, precision: Precision
) -> Index:
    """An index of that kind over the rows (n, bytes); position i is row i."""
    if kind == "exact":
        return exact_index(codes, dimension, metric, precision)
    index: Any = faiss.index_factory(
        dimension, _factory(kind, len(codes), dimension, precision), _METRICS[metric]
    )
    if kind == "hnsw":
        index.hnsw.efConstruction = 100
        index.hnsw.efSearch = 64
    if not index.is_trained:
        step = max(1, len(codes) // _TRAINING_ROWS)
        index.train(decode(codes[::step], precision))
    for start in range(0, len(codes), _ADD_ROWS):
        index.add(decode(codes[start : start + _ADD_ROWS], precision))
    if kind == "fast-scan":
        index.k_factor = 16
    if kind == "ivf":
        index.nprobe = max(1, index.nlist // 16)
    built: Index = index
    return built


def supports(kind: Kind, dimension: int) -> bool:
    """Whether vectors of that dimension can be indexed so: product codes are of two dimensions each."""
    return kind != "fast-scan" or (dimension >= 8 and dimension % 2 == 0)


def widen(index: Any, kind: Kind) -> bool:
    """Make an approximate index look at more of its rows; False when it is at its widest."""
    if kind == "fast-scan" and index.k_factor < 256:
        index.k_factor *= 2
    elif kind == "ivf" and index.nprobe < index.nlist:
        index.nprobe = min(index.nlist, index.nprobe * 2)
    elif kind == "hnsw" and index.hnsw.efSearch < 1024:
        index.hnsw.efSearch *= 2
    else:
        return False
    return True


def search_index(index: Index, queries: Embeddings, count: int) -> Found:
    """The best `count` rows of each query."""
    scores, positions = index.search(queries, min(count, index.ntotal))
    return scores, positions


def search_exhaustively(index: Any, queries: Embeddings, count: int) -> Found:
    """The best `count` rows of each query, whatever an approximate index would have left out."""
    count = min(count, index.ntotal)
    if isinstance(index, faiss.IndexIVF):
        everywhere = faiss.SearchParametersIVF()
        everywhere.nprobe = index.nlist
        scores, positions = index.search(queries, count, params=everywhere)
        return scores, positions
    if isinstance(index, faiss.IndexHNSW):
        index = index.storage
    elif isinstance(index, faiss.IndexRefine):
        index = index.refine_index
    return search_index(index, queries, count)


def write_index(index: Index, path: Path) -> None:
    """Write the file; the caller makes it durable."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as err:
        raise SegmentStoreUnavailable(f"{path.name} cannot be written: is the disk full?") from err


def open_index(path: Path) -> Index:
    """Map the file into memory, read-only: adding to such an index would end the process."""
    return _read(path, faiss.IO_FLAG_MMAP_IFC)


@dataclass(frozen=True, kw_only=True)
class ForeignIndex:
    """What an index file holds: vectors of shape (n, dimension) and their ids."""

    vectors: Embeddings
    ids: Ids
    metric: Metric
    repaired: bool


def read_foreign_index(path: Path) -> ForeignIndex:
    """The vectors of any FAISS file with or without an id map.

    An id map over IVF from which rows were removed has shifted (FAISS moves the ids of the map, the lists
    keep theirs). One round of that is undone by rank: the i-th smallest id in the lists belongs to the
    i-th of the map. Two rounds leave ids twice and cannot be undone: SegmentCorrupt.
    """
    index: Any = _read(path, 0)
    owner = index  # the inner index lives only as long as the map around it
    metrics: dict[int, Metric] = {faiss.METRIC_INNER_PRODUCT: "IP", faiss.METRIC_L2: "L2"}
    if index.metric_type not in metrics:
        raise SegmentCorrupt(f"{path.name} has a metric that is neither inner product nor L2.")
    metric = metrics[index.metric_type]
    ids: Ids = np.arange(index.ntotal, dtype=np.int64)
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        ids = faiss.vector_to_array(index.id_map).astype(np.int64)
        index = faiss.downcast_index(index.index)
    if len(ids) != owner.ntotal or len(ids) != index.ntotal:
        raise SegmentCorrupt(f"{path.name} maps {len(ids)} ids onto {index.ntotal} vectors.")
    if isinstance(index, faiss.IndexIVF):
        vectors, repaired = _ivf_vectors(index, path)
        return ForeignIndex(vectors=vectors, ids=ids, metric=metric, repaired=repaired)
    vectors = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.empty((0, index.d), np.float32)
    return ForeignIndex(vectors=vectors, ids=ids, metric=metric, repaired=False)


def foreign_index(
    index_type: Literal["Flat", "IVF", "HNSW32"],
    vectors: Embeddings,
    ids: Ids,
    metric: Metric,
    progress: Progress = silent,
) -> Index:
    """An id-mapped index as PaddleX makes it: the type's factory string under an IndexIDMap2."""
    dimension = vectors.shape[1]
    factory = f"IVF{min(len(ids) // 8, _MAX_LISTS)},Flat" if index_type == "IVF" else index_type
    index = faiss.index_factory(dimension, factory, _METRICS[metric])
    mapped = faiss.IndexIDMap2(index)
    if len(ids):
        if not index.is_trained:
            index.train(vectors)
        for start in range(0, len(ids), _FOREIGN_ROWS):
            progress("index", start, len(ids))
            part = slice(start, start + _FOREIGN_ROWS)
            mapped.add_with_ids(vectors[part], ids[part])
    progress("index", len(ids), len(ids))
    return mapped


def _exact(dimension: int, metric: Metric, precision: Precision) -> Index:
    if precision == "fp32":
        return faiss.IndexFlat(dimension, _METRICS[metric])
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, _METRICS[metric])


def _factory(kind: Kind, rows: int, dimension: int, precision: Precision) -> str:
    storage = {"fp16": "SQfp16", "fp32": "Flat"}[precision]
    if kind == "fast-scan":
        return f"PQ{dimension // 2}x4fs,Refine({storage})"
    if kind == "ivf":
        return f"IVF{max(1, min(int(4 * rows**0.5), rows // 39, _MAX_LISTS))},{storage}"
    return f"HNSW32_{storage}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise SegmentCorrupt for a missing file, SegmentStoreUnavailable for any other failure to read it.

    Only a missing file is worth rebuilding: that does not help against too few descriptors, no memory or
    no permission.
    """
    try:
        yield
    except FileNotFoundError as err:
        raise SegmentCorrupt(f"The file {path.name} is missing.") from err
    except OSError as err:
        raise SegmentStoreUnavailable(
            f"{path.name} cannot be read by this process: {err.strerror or err}."
        ) from err
    except MemoryError as err:
        raise SegmentStoreUnavailable(f"There is no memory left to read {path.name} into.") from err


def _read(path: Path, flags: int) -> Index:
    with reading(path):
        try:
            # FAISS has one error for wrong bytes and for a file that the process cannot map.
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
                pass
            return faiss.read_index(str(path), flags)
        except (RuntimeError, ValueError) as err:  # a ValueError for an empty file
            raise SegmentCorrupt(f"{path.name} is not an index that can be read.") from err


def _ivf_vectors(index: Any, path: Path) -> tuple[Embeddings, bool]:
    """The vectors by rank of their ids in the lists, and whether those ids had shifted."""
    lists = [_list_ids(index, number) for number in range(index.nlist)]
    ids = np.concatenate([np.empty(0, np.int64), *lists])
    if len(ids) != index.ntotal or len(np.unique(ids)) != len(ids):
        raise SegmentCorrupt(
            f"{path.name} is an IVF index that removals have damaged beyond repair: build it again."
        )
    vectors = np.empty((len(ids), index.d), np.float32)
    row = 0
    for number, found in enumerate(lists):
        for offset in range(len(found)):
            index.reconstruct_from_offset(number, offset, faiss.swig_ptr(vectors[row]))
            row += 1
    shifted = bool(len(ids)) and int(ids.max()) >= index.ntotal
    return np.ascontiguousarray(vectors[np.argsort(ids)]), shifted


def _list_ids(index: Any, number: int) -> Ids:
    size = index.invlists.list_size(number)
    if size == 0:
        return np.empty(0, np.int64)
    ids: Ids = faiss.rev_swig_ptr(index.invlists.get_ids(number), size).copy()
    return ids
