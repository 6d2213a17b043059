"""What a process holds of a gallery at one generation, and the search over it.

A view never changes: a refresh makes a new one, which shares what stayed the same. So searches run in
parallel without a lock, and each sees one moment.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from index_store.gallery import Embeddings, Gallery, GallerySpec, Ids, Level, SearchHit, Segment
from index_store.indexes import Found, Index, exact_index, search_exhaustively, search_index
from index_store.rows import StoredRows
from index_store.segment_file import Labels

_CHUNK_ROWS = 8192
_TAIL_ROWS = 512
_WIDEN = 4
_FEW_LABELS = 1000
_NO_IDS = np.empty(0, np.int64)

Dead = npt.NDArray[np.bool_]
Searcher = Callable[[Index, Embeddings, int], Found]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One index with the ids and labels of its rows. `dead` marks removed rows; None while there is none.

    `stand_in_for` is the segment whose file could not be reached, while its rows are in memory instead.
    """

    index: Index
    ids: Ids
    labels: Labels
    dead: Dead | None = None
    dead_count: int = 0
    stand_in_for: Segment | None = None

    def without(self, removed: Ids) -> "Source":
        """The same source with these ids marked as removed, those that it has."""
        rows = self.positions(removed)
        if not len(rows):
            return self
        dead = np.zeros(len(self.ids), np.bool_) if self.dead is None else self.dead.copy()
        dead[rows] = True
        return replace(self, dead=dead, dead_count=int(dead.sum()))

    def only(self, kept: Ids) -> "Source":
        """The same source with all but these ids marked as removed."""
        return self.without(np.setdiff1d(self.ids, kept, assume_unique=True))

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

    def live_labels(self) -> list[str]:
        """The labels of the rows that are not removed, each once."""
        return self.labels.distinct(None if self.dead is None else ~self.dead)

    def search(self, queries: Embeddings, count: int) -> list[tuple[Embeddings, Ids]]:
        """For each query the scores and rows of its best `count` live rows, best first.

        FAISS is asked for some more than wanted. Where removed rows crowd out live ones, or an approximate
        index finds too few, it is asked for more and more and finally for an exhaustive scan: a query gets
        fewer than `count` rows only if no more are live, or if their scores overflow.
        """
        if self.dead_count == len(self.ids):  # no row at all is in a stand-in of which all were removed
            return [(np.empty(0, np.float32), _NO_IDS)] * len(queries)
        if self.dead is None:
            scores, rows = search_index(self.index, queries, min(count, len(self.ids)))
            if rows.min(initial=0) >= 0:
                return list(zip(scores, rows, strict=True))
        asked = count
        if self.dead_count:
            asked += min(self.dead_count, 4 + 2 * count * self.dead_count // len(self.ids))
        found: list[tuple[Embeddings, Ids] | None] = [None] * len(queries)
        waiting = list(range(len(queries)))
        attempts: Iterable[Searcher] = chain((search_index, search_index), repeat(search_exhaustively))
        for attempt in attempts:
            scores, rows = attempt(self.index, queries[waiting], asked)
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
            # FAISS finds no row whose score is beyond a float's range, however much it is asked for.
            if not waiting or (attempt is search_exhaustively and asked >= len(self.ids)):
                break
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
        """With later rows, and without the removed ones of the chunks that are rewritten for it."""
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
        """Everything that a search has to look at."""
        return (*self.segments.values(), *self.delta.sources)

    @property
    def unreached(self) -> tuple[Segment, ...]:
        """The segments that have a stand-in in memory until their files can be reached."""
        waiting = (source.stand_in_for for source in self.segments.values())
        return tuple(segment for segment in waiting if segment is not None)

    def reached(self, segment: Segment, opened: Source | None) -> "View":
        """With the segment's file in place of its stand-in, or with that for good where the file is bad."""
        stand_in = self.segments.get(segment.id)
        if stand_in is None:
            return self
        kept = opened.only(stand_in.live(stand_in.ids)) if opened else replace(stand_in, stand_in_for=None)
        return replace(self, segments={**self.segments, segment.id: kept})

    def live(self, ids: Iterable[int]) -> frozenset[int]:
        """Those of the ids that a search can answer with."""
        wanted = np.array(sorted(set(ids)), np.int64)
        return frozenset(int(found) for source in self.sources for found in source.live(wanted))

    def search(
        self, queries: Embeddings, top_k: int, threshold: float | None, level: Level
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """The hits of each query, best first. At label level each label comes once, by its best vector."""
        if level == "label":
            limit = np.inf if threshold is None else self._sign * threshold
            return tuple(self._best_labels(query[np.newaxis], top_k, limit) for query in queries)
        found = self._best(queries, top_k)
        if threshold is None:
            return tuple(tuple(hits) for hits in found)
        sign = self._sign
        limit = sign * threshold
        return tuple(tuple(hit for hit in hits if sign * hit.score <= limit) for hits in found)

    @property
    def _sign(self) -> float:
        """What a score is multiplied with so that less is nearer."""
        return -1.0 if self.gallery.spec.metric == "IP" else 1.0

    @cached_property
    def _most_labels(self) -> int:
        """How many labels the live rows have; where those are many and take long to count, how many rows."""
        if any(source.labels.distinct_count > _FEW_LABELS for source in self.sources):
            return sum(len(source.ids) for source in self.sources)
        return len({label for source in self.sources for label in source.live_labels()})

    def _best(self, queries: Embeddings, count: int) -> list[list[SearchHit]]:
        sign = self._sign
        merged: list[list[tuple[float, int, int, Labels]]] = [[] for _ in queries]
        for source in self.sources:
            labels = repeat(source.labels)
            for candidates, (scores, rows) in zip(merged, source.search(queries, count), strict=True):
                keys, ids = (sign * scores).tolist(), source.ids[rows].tolist()
                candidates += zip(keys, ids, rows.tolist(), labels, strict=False)
        for candidates in merged:
            candidates.sort(key=_order)
        return [
            [
                SearchHit(vector_id, labels[row], sign * key)
                for key, vector_id, row, labels in candidates[:count]
            ]
            for candidates in merged
        ]

    def _best_labels(self, query: Embeddings, top_k: int, limit: float) -> tuple[SearchHit, ...]:
        count = _WIDEN * top_k
        best, more = self._labels_of_few(query, count, limit)
        while more and len(best) < min(top_k, self._most_labels):
            count *= _WIDEN
            best, more = self._labels_of_many(query, count, limit)
        return tuple(best.values())[:top_k]

    def _labels_of_few(
        self, query: Embeddings, count: int, limit: float
    ) -> tuple[dict[str, SearchHit], bool]:
        """The best hit of each label among so many rows; whether there may be more within the limit."""
        sign = self._sign
        hits = self._best(query, count)[0]
        best: dict[str, SearchHit] = {}
        for hit in hits:
            if sign * hit.score > limit:
                return best, False
            best.setdefault(hit.label, hit)
        return best, len(hits) == count

    def _labels_of_many(
        self, query: Embeddings, count: int, limit: float
    ) -> tuple[dict[str, SearchHit], bool]:
        """The same with arrays, which take longer for a few rows and far less for thousands."""
        nearest = self._nearest(query, count)
        near = int(np.searchsorted(nearest.keys, limit, "right"))
        best: dict[str, SearchHit] = {}
        for place in nearest.first_of_labels(near):
            label = nearest.label(place)
            score = self._sign * float(nearest.keys[place])
            best.setdefault(label, SearchHit(int(nearest.ids[place]), label, score))
        return best, near == count

    def _nearest(self, query: Embeddings, count: int) -> "_Nearest":
        found = [source.search(query, count)[0] for source in self.sources]
        sources = list(zip(self.sources, (rows for _, rows in found), strict=True))
        keys = np.concatenate([np.empty(0), *(self._sign * scores for scores, _ in found)])
        ids = np.concatenate([_NO_IDS, *(source.ids[rows] for source, rows in sources)])
        codes = np.concatenate([_NO_IDS, *(source.labels.codes[rows] for source, rows in sources)])
        owners = np.repeat(np.arange(len(sources)), [len(rows) for _, rows in sources])
        order = np.lexsort((ids, keys))[:count]
        return _Nearest(
            keys=keys[order],
            ids=ids[order],
            codes=codes[order],
            owners=owners[order],
            labels=tuple(source.labels for source in self.sources),
        )


@dataclass(frozen=True, kw_only=True)
class _Nearest:
    """The nearest rows of all sources, best first: in arrays, as one label may have a million of them.

    `owners` are the sources by number, and `codes` a row's label among the `labels` of its source.
    """

    keys: npt.NDArray[np.float64]
    ids: Ids
    codes: Ids
    owners: Ids
    labels: tuple[Labels, ...]

    def first_of_labels(self, near: int) -> list[int]:
        """The places, ascending, where a label comes first in its source among the `near` best rows."""
        marks = (self.owners[:near] << 32) | self.codes[:near]
        places: list[int] = np.sort(np.unique(marks, return_index=True)[1]).tolist()
        return places

    def label(self, place: int) -> str:
        """The label of the row at that place."""
        return self.labels[int(self.owners[place])].text(int(self.codes[place]))


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


def empty_view(gallery: Gallery) -> View:
    """A view from before the first commit."""
    return View(gallery=replace(gallery, generation=0, sealed_generation=0), segments={}, delta=Delta())
