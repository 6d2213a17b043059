"""What a process holds of a gallery at one generation, and the search over it.

A view never changes: a refresh makes the next one, which shares all that stayed the same. So searches run
side by side without a lock, and each sees one moment.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat
from operator import itemgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from index_store.gallery import Embeddings, Gallery, GallerySpec, Hit, Ids, Level, Metric
from index_store.indexes import Found, Index, exact_index, search_exhaustively, search_index
from index_store.rows import StoredRows
from index_store.segment_file import Labels

_CHUNK_ROWS = 8192
_TAIL_ROWS = 512
_WIDEN = 4

Dead = npt.NDArray[np.bool_]
Searcher = Callable[[Index, Embeddings, int], Found]


class RowLabels(Protocol):
    """The label of each row."""

    def __getitem__(self, row: int, /) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """One index with the ids and labels of its rows. `dead` marks removed rows; None while there is none."""

    index: Index
    ids: Ids
    labels: RowLabels
    dead: Dead | None = None
    dead_count: int = 0

    def without(self, removed: Ids) -> "Source":
        """The same source with these ids marked as removed, those that it has."""
        rows = self.positions(removed)
        if not len(rows):
            return self
        dead = np.zeros(len(self.ids), np.bool_) if self.dead is None else self.dead.copy()
        dead[rows] = True
        return replace(self, dead=dead, dead_count=int(dead.sum()))

    def positions(self, ids: Ids) -> Ids:
        """The rows of those ids that the source has."""
        if not len(self.ids) or not len(ids):
            return np.empty(0, np.int64)
        rows = np.searchsorted(self.ids, ids)
        rows[rows == len(self.ids)] = 0
        found: Ids = rows[self.ids[rows] == ids]
        return found

    def live(self, ids: Ids) -> Ids:
        """Those of the ids that a search can still answer with."""
        rows = self.positions(ids)
        if self.dead is not None:
            rows = rows[~self.dead[rows]]
        return self.ids[rows]

    def search(self, queries: Embeddings, count: int) -> list[tuple[Embeddings, Ids]]:
        """For each query the scores and rows of its best `count` live rows, best first.

        FAISS is asked for some more than wanted. Where removed rows crowd out live ones, or an approximate
        index finds too few, it is asked for ever more and in the end for an exhaustive scan: a query gets
        fewer than `count` rows only if no more are live.
        """
        if self.dead is None:
            scores, rows = search_index(self.index, queries, min(count, len(self.ids)))
            if rows.min(initial=0) >= 0:
                return list(zip(scores, rows, strict=True))
        asked = count
        if self.dead_count:
            asked += min(self.dead_count, 4 + 2 * count * self.dead_count // len(self.ids))
        found: list[tuple[Embeddings, Ids] | None] = [None] * len(queries)
        waiting = list(range(len(queries)))
        attempts: Iterator[Searcher] = chain((search_index, search_index), repeat(search_exhaustively))
        while waiting:
            scores, rows = next(attempts)(self.index, queries[waiting], asked)
            unfinished = []
            for place, query in enumerate(waiting):
                valid = rows[place] >= 0
                if self.dead is not None:
                    valid &= ~self.dead[rows[place]]
                kept = np.flatnonzero(valid)[:count]
                found[query] = (scores[place][kept], rows[place][kept])
                if len(kept) < min(count, len(self.ids) - self.dead_count):
                    unfinished.append(query)
            waiting = unfinished
            asked *= _WIDEN
        return [hits for hits in found if hits is not None]


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The rows that no segment holds yet: exact, in memory.

    They are in chunks, large ones and a small tail: so an append copies little, and a search has few indexes
    to ask.
    """

    rows: tuple[StoredRows, ...] = ()
    sources: tuple[Source, ...] = ()

    def append(self, spec: GallerySpec, rows: StoredRows) -> "Delta":
        """With later rows, and without the removed ones of the chunks that are written anew for it."""
        kept, sources = list(self.rows), list(self.sources)
        while kept and _join(len(kept[-1]), len(rows)):
            chunk, source = kept.pop(), sources.pop()
            rows = (chunk if source.dead is None else chunk.keep(~source.dead)).joined(rows)
        added = [_slice(rows, start, start + _CHUNK_ROWS) for start in range(0, len(rows), _CHUNK_ROWS)]
        return Delta(
            rows=(*kept, *added), sources=(*sources, *(memory_source(spec, chunk) for chunk in added))
        )

    def without(self, removed: Ids) -> "Delta":
        """With these ids marked as removed."""
        return replace(self, sources=tuple(source.without(removed) for source in self.sources))

    def above(self, spec: GallerySpec, generation: int) -> "Delta":
        """Only the rows that were appended after that generation, as the others are in segments now."""
        if not any((chunk.generations <= generation).any() for chunk in self.rows):
            return self
        kept = Delta()
        for chunk, source in zip(self.rows, self.sources, strict=True):
            mask = chunk.generations > generation
            if source.dead is not None:
                mask &= ~source.dead
            kept = kept.append(spec, chunk.keep(mask))
        return kept


@dataclass(frozen=True, kw_only=True)
class View:
    """A gallery at one generation: the sealed segments by their ids, and the delta."""

    gallery: Gallery
    segments: dict[str, Source]
    delta: Delta

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that a search has to look at."""
        return (*self.segments.values(), *self.delta.sources)

    def live(self, ids: Iterable[int]) -> frozenset[int]:
        """Those of the ids that a search can answer with."""
        wanted = np.array(sorted(set(ids)), np.int64)
        return frozenset(int(found) for source in self.sources for found in source.live(wanted))

    def search(
        self, queries: Embeddings, top_k: int, threshold: float | None, level: Level
    ) -> tuple[tuple[Hit, ...], ...]:
        """The hits of each query, best first. At label level each label comes once, by its best vector."""
        if level == "vector" and threshold is None:
            return tuple(tuple(hits) for hits in self._best(queries, top_k))
        within = _within(self.gallery.spec.metric, threshold)
        if level == "vector":
            return tuple(tuple(filter(within, hits)) for hits in self._best(queries, top_k))
        return tuple(self._best_labels(query[np.newaxis], top_k, within) for query in queries)

    def _best(self, queries: Embeddings, count: int) -> list[list[Hit]]:
        sign = -1.0 if self.gallery.spec.metric == "IP" else 1.0
        merged: list[list[tuple[float, int, int, RowLabels]]] = [[] for _ in queries]
        for source in self.sources:
            labels = repeat(source.labels)
            for candidates, (scores, rows) in zip(merged, source.search(queries, count), strict=True):
                keys, ids = (sign * scores).tolist(), source.ids[rows].tolist()
                candidates += zip(keys, ids, rows.tolist(), labels, strict=False)
        for candidates in merged:
            candidates.sort(key=_order)
        return [
            [Hit(vector_id, labels[row], sign * key) for key, vector_id, row, labels in candidates[:count]]
            for candidates in merged
        ]

    def _best_labels(self, query: Embeddings, top_k: int, within: Callable[[Hit], bool]) -> tuple[Hit, ...]:
        count = _WIDEN * top_k
        while True:
            hits = self._best(query, count)[0]
            best: dict[str, Hit] = {}
            for hit in filter(within, hits):
                best.setdefault(hit.label, hit)
            if len(best) >= top_k or len(hits) < count or not within(hits[-1]):
                return tuple(best.values())[:top_k]
            count *= _WIDEN


def memory_source(spec: GallerySpec, rows: StoredRows) -> Source:
    """An exact source over rows in memory: a part of the delta, or a stand-in for a damaged file."""
    index = exact_index(rows.codes, spec.dimension, spec.metric, spec.precision)
    return Source(index=index, ids=rows.ids, labels=Labels.of(rows.labels))


_order = itemgetter(0, 1)
"""Of two candidates that are equally near, the one that was there first."""


def _join(chunk: int, added: int) -> bool:
    return added > 0 and chunk + added <= _CHUNK_ROWS and (chunk < _TAIL_ROWS or added >= _TAIL_ROWS)


def _slice(rows: StoredRows, start: int, end: int) -> StoredRows:
    return StoredRows(
        ids=rows.ids[start:end],
        generations=rows.generations[start:end],
        labels=rows.labels[start:end],
        codes=rows.codes[start:end],
    )


def _within(metric: Metric, threshold: float | None) -> Callable[[Hit], bool]:
    if threshold is None:
        return lambda hit: True  # noqa: ARG005
    if metric == "IP":
        return lambda hit: hit.score >= threshold
    return lambda hit: hit.score <= threshold


def empty_view(gallery: Gallery) -> View:
    """A view from before the first commit."""
    return View(gallery=replace(gallery, generation=0, sealed_generation=0), segments={}, delta=Delta())
