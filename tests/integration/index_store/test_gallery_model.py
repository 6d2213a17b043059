"""The store against a plain dictionary: whatever is done in whatever order, both hold the same."""

import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from database.pool import Database
from index_store.gallery import Embeddings, GallerySpec, IndexType, Metric
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealed, Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings

POLICY = SealingPolicy(
    delta_rows=8, idle=timedelta(0), fan_in=3, dead_share=0.3, grace=timedelta(0), lost_after=timedelta(0)
)
INDEXED = 16
"""Rows from which a segment is indexed here; product codes need as many to be trained."""
DIMENSION = 32
"""With 8, rounding an IVF list's residuals to fp16 errs by more than the self-test allows."""
POOL = random_embeddings(256, DIMENSION)
LABELS = st.sampled_from(["ann", "bob", "c d", ""])
QUERIES = st.integers(0, len(POOL) - 1)
ROWS = st.lists(st.tuples(QUERIES, LABELS), min_size=0, max_size=12)


class StoreAgainstDictionary(RuleBasedStateMachine):
    """Two stores as two processes would have them, one sealer, one collector, and a dictionary."""

    database: Database
    folder: Path
    index_type: IndexType
    kinds: set[str]

    @initialize(metric=st.sampled_from(["IP", "L2"]), rows=st.sampled_from([0, INDEXED, len(POOL) // 2]))
    def create(self, metric: Metric, rows: int) -> None:
        files = SegmentFolder(self.folder)
        self.stores = [GalleryStore(self.database, files) for _ in range(2)]
        self.sealer = Sealer(database=self.database, files=files, policy=POLICY)
        self.collector = GarbageCollector(database=self.database, files=files, policy=POLICY)
        self.key = uuid.uuid4().hex
        self.spec = GallerySpec(dimension=DIMENSION, metric=metric, index_type=self.index_type)
        self.stores[0].create(self.key, self.spec)
        self.model: dict[int, tuple[int, str]] = {}
        self.all_ids: set[int] = set()
        self.append([(row, "crowd") for row in range(rows)], store=0, repeat=False)
        self.seal()

    @rule(rows=ROWS, store=st.integers(0, 1), repeat=st.booleans())
    def append(self, rows: list[tuple[int, str]], store: int, repeat: bool) -> None:
        operation = uuid.uuid4().hex
        embeddings = POOL[[row for row, _ in rows]]
        labels = [label for _, label in rows]
        appended = self.stores[store].append(self.key, embeddings, labels, operation_id=operation)
        if repeat:
            again = self.stores[1 - store].append(self.key, embeddings, labels, operation_id=operation)
            assert again.ids == appended.ids
        assert len(appended.ids) == len(rows)
        assert not self.all_ids & set(appended.ids)
        self.all_ids |= set(appended.ids)
        self.model |= dict(zip(appended.ids, rows, strict=True))

    @rule(data=st.data(), store=st.integers(0, 1))
    def remove_ids(self, data: st.DataObject, store: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from([0, *sorted(self.all_ids)]), max_size=6))
        removed = self.stores[store].remove(self.key, ids=chosen)
        assert set(removed.ids) == set(chosen) & set(self.model)
        for vector_id in removed.ids:
            del self.model[vector_id]

    @rule(label=LABELS, store=st.integers(0, 1))
    def remove_label(self, label: str, store: int) -> None:
        removed = self.stores[store].remove(self.key, labels=[label])
        expected = {vector_id for vector_id, row in self.model.items() if row[1] == label}
        assert set(removed.ids) == expected
        for vector_id in expected:
            del self.model[vector_id]

    @rule()
    def seal(self) -> None:
        self.note_kinds(self.sealer.run(self.key))

    @rule()
    def compact(self) -> None:
        self.note_kinds(self.sealer.compact(self.key))
        assert self.stores[0].describe(self.key).tombstones == 0

    @rule()
    def collect(self) -> None:
        self.collector.run()
        live = {segment.file for segment in self.stores[0].describe(self.key).segments}
        assert {path.name for path in self.folder.iterdir()} == live - {None}

    @rule(store=st.integers(0, 1))
    def restart(self, store: int) -> None:
        self.stores[store] = GalleryStore(self.database, SegmentFolder(self.folder))

    @rule(store=st.integers(0, 1), query=QUERIES, top_k=st.integers(1, 5))
    def search(self, store: int, query: int, top_k: int) -> None:
        """As many as there are, each with its own score; in `Flat` no others have better ones."""
        hits = self.stores[store].search_one(self.key, POOL[query], top_k=top_k)
        assert len({hit.id for hit in hits}) == len(hits) == min(top_k, len(self.model))
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=self.spec.metric == "IP")
        for hit in hits:
            row, label = self.model[hit.id]
            assert hit.label == label
            assert hit.score == pytest.approx(self.score(query, row), abs=5e-3)
        if self.spec.index_type == "Flat":
            every = sorted(self.score(query, row) for row, _ in self.model.values())
            best = every[::-1] if self.spec.metric == "IP" else every
            assert scores == pytest.approx(best[:top_k], abs=5e-3)

    @rule(store=st.integers(0, 1))
    def search_every_vector_by_itself(self, store: int) -> None:
        rows = sorted({row for row, _ in self.model.values()})
        for row, hits in zip(rows, self.stores[store].search(self.key, POOL[rows], top_k=1), strict=True):
            assert hits[0].score == pytest.approx(1 if self.spec.metric == "IP" else 0, abs=5e-3)
            assert self.model[hits[0].id][0] == row

    @rule(store=st.integers(0, 1), query=QUERIES)
    def search_labels(self, store: int, query: int) -> None:
        hits = self.stores[store].search_one(self.key, POOL[query], top_k=3, level="label")
        labels = {label for _, label in self.model.values()}
        assert len(hits) == min(3, len(labels))
        assert {hit.label for hit in hits} <= labels

    @invariant()
    def both_hold_the_same(self) -> None:
        for store in self.stores:
            hits = store.search_one(self.key, POOL[0], top_k=1000)
            assert {hit.id: hit.label for hit in hits} == {i: label for i, (_, label) in self.model.items()}
        assert self.stores[0].gallery(self.key).live == len(self.model)

    def note_kinds(self, sealed: tuple[Sealed, ...] | None) -> None:
        assert sealed is not None
        self.kinds.update(segment.kind for segment in sealed)

    def score(self, query: int, row: int) -> float:
        a: Embeddings = POOL[query].astype(np.float32)
        b: Embeddings = POOL[row].astype(np.float16).astype(np.float32)
        return float(a @ b) if self.spec.metric == "IP" else float(((a - b) ** 2).sum())


@pytest.mark.parametrize(
    ("index_type", "kind"), [("auto", "fast-scan"), ("Flat", "exact"), ("IVF", "ivf"), ("HNSW32", "hnsw")]
)
def test_the_store_behaves_like_a_dictionary(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index_type: IndexType, kind: str
) -> None:
    monkeypatch.setattr("index_store.selftest.SMALLEST_INDEXED", INDEXED)

    class Machine(StoreAgainstDictionary):
        pass

    Machine.database = database
    Machine.index_type = index_type
    Machine.kinds = set()
    numbers = iter(range(10_000))

    def fresh() -> RuleBasedStateMachine:
        Machine.folder = tmp_path / str(next(numbers))
        return Machine()

    run_state_machine_as_test(
        fresh,  # type: ignore[arg-type]
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert kind in Machine.kinds
