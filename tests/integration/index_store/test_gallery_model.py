"""The store against a plain dictionary: whatever is done in whatever order, both hold the same."""

import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from index_store.database import Database
from index_store.gallery import Embeddings, GallerySpec
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings

POLICY = SealingPolicy(
    delta_rows=8, idle=timedelta(0), fan_in=3, dead_share=0.3, grace=timedelta(0), lost_after=timedelta(0)
)
POOL = random_embeddings(64, 8)
LABELS = st.sampled_from(["ann", "bob", "c d", ""])
ROWS = st.lists(st.tuples(st.integers(0, 63), LABELS), min_size=0, max_size=12)


class StoreAgainstDictionary(RuleBasedStateMachine):
    """Two stores as two processes would have them, one sealer, one collector, and a dictionary."""

    database: Database
    folder: Path

    @initialize(
        metric=st.sampled_from(["IP", "L2"]), index_type=st.sampled_from(["auto", "Flat", "IVF", "HNSW32"])
    )
    def create(self, metric: str, index_type: str) -> None:
        files = SegmentFolder(self.folder)
        self.stores = [GalleryStore(self.database, files) for _ in range(2)]
        self.sealer = Sealer(database=self.database, files=files, policy=POLICY)
        self.collector = GarbageCollector(database=self.database, files=files, policy=POLICY)
        self.key = uuid.uuid4().hex
        self.spec = GallerySpec(dimension=8, metric=metric, index_type=index_type)  # type: ignore[arg-type]
        self.stores[0].create(self.key, self.spec)
        self.model: dict[int, tuple[int, str]] = {}
        self.all_ids: set[int] = set()

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
        assert self.sealer.run(self.key) is not None

    @rule()
    def compact(self) -> None:
        assert self.sealer.compact(self.key) is not None
        assert self.stores[0].describe(self.key).tombstones == 0

    @rule()
    def collect(self) -> None:
        self.collector.run()
        live = {segment.file for segment in self.stores[0].describe(self.key).segments}
        assert {path.name for path in self.folder.iterdir()} == live - {None}

    @rule(store=st.integers(0, 1))
    def restart(self, store: int) -> None:
        self.stores[store] = GalleryStore(self.database, SegmentFolder(self.folder))

    @rule(store=st.integers(0, 1), query=st.integers(0, 63), top_k=st.integers(1, 5))
    def search(self, store: int, query: int, top_k: int) -> None:
        hits = self.stores[store].search_one(self.key, POOL[query], top_k=top_k)
        scores = sorted(self.score(query, row) for row, _ in self.model.values())
        best = scores[::-1] if self.spec.metric == "IP" else scores
        assert [hit.score for hit in hits] == pytest.approx(best[:top_k], abs=5e-3)

    @rule(store=st.integers(0, 1), query=st.integers(0, 63))
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

    def score(self, query: int, row: int) -> float:
        a: Embeddings = POOL[query].astype(np.float32)
        b: Embeddings = POOL[row].astype(np.float16).astype(np.float32)
        return float(a @ b) if self.spec.metric == "IP" else float(((a - b) ** 2).sum())


def test_the_store_behaves_like_a_dictionary(database: Database, tmp_path: Path) -> None:
    class Machine(StoreAgainstDictionary):
        pass

    Machine.database = database
    numbers = iter(range(10_000))

    def fresh() -> RuleBasedStateMachine:
        Machine.folder = tmp_path / str(next(numbers))
        return Machine()

    run_state_machine_as_test(
        fresh,  # type: ignore[arg-type]
        settings=settings(
            max_examples=100,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
