"""Recall measured before a segment is published: an index that misses what a scan finds is not used."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index_store.gallery import Embeddings, GallerySpec, Metric
from index_store.indexes import Index, Kind, build_index, exact_index, search_index, supports, widen
from index_store.vectors import decode

QUERIES = 200
NEEDED_AT_1 = 0.999
NEEDED_AT_10 = 0.99
SMALLEST_INDEXED = 4096
_SCORE_ERROR = 2e-4  # rows whose scores differ by less are equally right: fp16 itself errs by 4e-5


@dataclass(frozen=True, kw_only=True)
class Built:
    """An index, what kind it turned out to be, and the recall that its self-test measured."""

    index: Index
    kind: Kind
    recall_at_1: float
    recall_at_10: float


def build_tested(spec: GallerySpec, codes: npt.NDArray[np.uint8]) -> Built:
    """The gallery's kind of index over the rows, widened until it passes; a scan where it never does.

    IVF and HNSW are chosen for speed and have to find the best row; `auto` has to find the best ten.
    Scanning a few thousand rows takes less time than any index saves, so every type gets a scan for them.
    """
    exact = exact_index(codes, spec.dimension, spec.metric, spec.precision)
    kind = _wanted(spec)
    if kind == "exact" or len(codes) < SMALLEST_INDEXED or not supports(kind, spec.dimension):
        return Built(index=exact, kind="exact", recall_at_1=1.0, recall_at_10=1.0)
    index = build_index(kind, codes, spec.dimension, spec.metric, spec.precision)
    queries = _queries(spec, codes)
    needed_at_10 = NEEDED_AT_10 if spec.index_type == "auto" else 0.0
    for at_1, at_10 in _measurements(index, kind, exact, queries, spec.metric):
        if at_1 >= NEEDED_AT_1 and at_10 >= needed_at_10:
            return Built(index=index, kind=kind, recall_at_1=at_1, recall_at_10=at_10)
    return Built(index=exact, kind="exact", recall_at_1=1.0, recall_at_10=1.0)


def recall(found: Embeddings, exact: Embeddings, metric: Metric) -> float:
    """The share of found scores of shape (queries, k) that are as good as the exact k-th best."""
    worst = exact[:, -1:]
    tolerance = _SCORE_ERROR * np.maximum(1.0, np.abs(worst))
    right = found >= worst - tolerance if metric == "IP" else found <= worst + tolerance
    return float(right.mean())


def _measurements(
    index: Index, kind: Kind, exact: Index, queries: Embeddings, metric: Metric
) -> Iterator[tuple[float, float]]:
    best, _ = search_index(exact, queries, 10)
    while True:
        found, _ = search_index(index, queries, 10)
        yield recall(found[:, :1], best[:, :1], metric), recall(found, best, metric)
        if not widen(index, kind):
            return


def _wanted(spec: GallerySpec) -> Kind:
    kinds: dict[str, Kind] = {"Flat": "exact", "IVF": "ivf", "HNSW32": "hnsw", "auto": "fast-scan"}
    return kinds[spec.index_type]


def _queries(spec: GallerySpec, codes: npt.NDArray[np.uint8]) -> Embeddings:
    """Rows moved in a random direction by as far as they are from the middle of all.

    Where the rows lie around the origin that leaves a cosine of 0.7, as between photographs of one person:
    an index that finds only what is nearer than that is widened. It is the distance from the middle, not
    the length, because a row of a model whose embeddings all point one way would be moved out of them all.
    """
    generator = np.random.default_rng(len(codes))
    rows = decode(
        codes[generator.choice(len(codes), min(QUERIES, len(codes)), replace=False)], spec.precision
    )
    noise = generator.standard_normal(rows.shape, dtype=np.float32)
    distances = np.linalg.norm(rows - rows.mean(axis=0), axis=1, keepdims=True)
    noise *= distances / np.linalg.norm(noise, axis=1, keepdims=True)
    queries: Embeddings = rows + noise
    return queries
