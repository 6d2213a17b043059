"""The measured engines: our galleries and other vector stores, behind one interface."""

import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import psycopg2.extensions

from database.migration import migrate
from database.pool import Database
from index_store.gallery import Embeddings, GallerySpec, IndexType, Precision
from index_store.indexes import exact_index, search_index
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from index_store.vectors import encode
from tests.postgres import PostgresServer

TOP_K = 10
KEY = "benchmark"
_SMALL = 200_000
_CHUNK = 50_000
_FEW = 2000
"""Rows that are added at a time, so that a build can be interrupted."""

Numbers = npt.NDArray[np.int64]


class Engine(Protocol):
    """A measured engine. A search returns row numbers; `remove` is optional."""

    def build(self, rows: Embeddings) -> None: ...
    def append(self, rows: Embeddings) -> None: ...
    def search(self, queries: Embeddings, count: int) -> Numbers: ...
    def disk_bytes(self) -> int: ...


@dataclass
class Ours:
    """GalleryStore over Postgres, fsync on, sealed as maintenance would."""

    index_type: IndexType = "auto"
    precision: Precision = "fp16"
    server: PostgresServer = field(default_factory=lambda: PostgresServer("shared_buffers=256MB"))
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="paddlewheel-segments-")))
    first_id: int = 0

    def build(self, rows: Embeddings) -> None:
        migrate(self.server.url())
        self.store, self.other = (
            GalleryStore(Database(self.server.url()), SegmentFolder(self.folder)) for _ in range(2)
        )
        spec = GallerySpec(dimension=rows.shape[1], index_type=self.index_type, precision=self.precision)
        self.first_id = self.store.build(KEY, spec, rows, labels(len(rows))).ids[0]
        self.copied = time.perf_counter()
        self.sealer = Sealer(database=self.store.database, files=self.store.files, policy=SealingPolicy())
        self.sealer.compact(KEY)
        with self.store.database.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE gallery_vectors")

    def append(self, rows: Embeddings) -> None:
        self.store.append(KEY, rows, labels(len(rows)))

    def visible(self, row: Embeddings) -> float:
        """From the acknowledgement here to the hit on another store, in seconds."""
        (vector_id,) = self.store.append(KEY, row, ["new"]).ids
        start = time.perf_counter()
        while self.other.search_one(KEY, row, top_k=1)[0].id != vector_id:
            pass
        taken = time.perf_counter() - start
        self.store.remove(KEY, ids=[vector_id])
        return taken

    def remove(self, number: int) -> None:
        self.store.remove(KEY, ids=[self.first_id + number])

    def search(self, queries: Embeddings, count: int) -> Numbers:
        found = self.store.search(KEY, queries, top_k=count)
        return np.array([[hit.id - self.first_id for hit in hits] for hits in found])

    def raw(self) -> Callable[[Embeddings], object]:
        """The search of the largest segment's bare index, to tell what the rest of the path costs."""
        source = max(self.store.view(KEY).segments.values(), key=lambda source: len(source.ids))
        return lambda queries: search_index(source.index, queries, TOP_K)

    def disk_bytes(self) -> int:
        files = sum(path.stat().st_size for path in self.folder.iterdir())
        with self.store.database.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('gallery_vectors')")
            return files + int((cursor.fetchone() or (0,))[0])

    def close(self) -> None:
        self.server.close()
        shutil.rmtree(self.folder)


class RawFlat:
    """FAISS Flat in memory, fp32: what PaddleX's Flat type scans."""

    def build(self, rows: Embeddings) -> None:
        self.dimension = rows.shape[1]
        self.index = exact_index(encode(rows, "fp32"), self.dimension, "IP", "fp32")

    def append(self, rows: Embeddings) -> None:
        self.index.add_sa_codes(encode(rows, "fp32"))

    def search(self, queries: Embeddings, count: int) -> Numbers:
        return search_index(self.index, queries, count)[1]

    def disk_bytes(self) -> int:
        return 0


class PgVector:
    """pgvector's HNSW over halfvec, ef_construction 100, ef_search 64; the graph is built by all cores."""

    def build(self, rows: Embeddings) -> None:
        large = len(rows) > _SMALL
        self.server = PostgresServer(
            "shared_buffers=512MB",
            f"maintenance_work_mem={4 if large else 1}GB",
            f"max_parallel_maintenance_workers={(os.cpu_count() or 1) - 1}",
            "max_wal_size=8GB",
            "hnsw.ef_search=64",
        )
        self.connections = [Database(self.server.url()) for _ in range(2)]
        dimension = rows.shape[1]
        with self.connections[0].cursor() as cursor:
            cursor.execute("CREATE EXTENSION vector")
            cursor.execute(f"CREATE TABLE items (id bigint PRIMARY KEY, label text, v halfvec({dimension}))")
        for start in range(0, len(rows), _CHUNK):
            self._insert(rows[start : start + _CHUNK], start)
        with self.connections[0].cursor() as cursor, _interruptible():
            cursor.execute(
                "CREATE INDEX items_v ON items USING hnsw (v halfvec_ip_ops)"
                f" WITH (m = {degree(len(rows))}, ef_construction = 100)"
            )
            cursor.execute("VACUUM ANALYZE items")
        for database in self.connections:
            with database.cursor() as cursor:
                cursor.execute(
                    f"PREPARE nearest (halfvec({dimension})) AS"  # noqa: S608 - numbers of our own
                    f" SELECT id FROM items ORDER BY v <#> $1 LIMIT {TOP_K}"
                )
        self.next = len(rows)

    def _insert(self, rows: Embeddings, start: int) -> None:
        """By binary COPY: three fields, each after its length, and the dimension before the halfvec."""
        dimension = rows.shape[1]
        fields = [
            ("fields", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("label_bytes", ">i4"),
            ("label", "S1"),
        ]
        vector = [("v_bytes", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("v", ">f2", (dimension,))]
        table = np.zeros(len(rows), np.dtype([*fields, *vector]))
        table["fields"], table["id_bytes"], table["label_bytes"], table["label"] = 3, 8, 1, b"x"
        table["id"] = np.arange(start, start + len(rows))
        table["v_bytes"], table["dimension"], table["v"] = 4 + 2 * dimension, dimension, rows
        data = BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + table.tobytes() + b"\xff\xff")
        with self.connections[0].transaction() as cursor:
            cursor.copy_expert("COPY items FROM STDIN (FORMAT binary)", data)

    def append(self, rows: Embeddings) -> None:
        self._insert(rows, self.next)
        self.next += len(rows)

    def visible(self, row: Embeddings) -> float:
        self.append(row[np.newaxis])
        start = time.perf_counter()
        while self._search(self.connections[1], row, 1)[0] != self.next - 1:
            pass
        return time.perf_counter() - start

    def remove(self, number: int) -> None:
        with self.connections[0].cursor() as cursor:
            cursor.execute("DELETE FROM items WHERE id = %s", (number,))

    def search(self, queries: Embeddings, count: int) -> Numbers:
        return np.array([self._search(self.connections[0], query, count) for query in queries])

    def _search(self, database: Database, query: Embeddings, count: int) -> list[int]:
        with database.cursor() as cursor:
            cursor.execute(
                "EXECUTE nearest (%s)",
                (f"[{','.join(map(str, query.tolist()))}]",),
            )
            return [row[0] for row in cursor.fetchmany(count)]

    def disk_bytes(self) -> int:
        with self.connections[0].cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('items')")
            return int((cursor.fetchone() or (0,))[0])

    def close(self) -> None:
        self.server.close()


class USearch:
    """usearch in memory, f16, expansion_add 100, expansion_search 64; not durable. Built by all cores."""

    def build(self, rows: Embeddings) -> None:
        from usearch.index import Index

        self.index: Any = Index(
            ndim=rows.shape[1],
            metric="ip",
            dtype="f16",
            connectivity=degree(len(rows)),
            expansion_add=100,
            expansion_search=64,
        )
        self.next = 0
        for start in range(0, len(rows), _FEW):
            self._add(rows[start : start + _FEW], os.cpu_count() or 1)

    def append(self, rows: Embeddings) -> None:
        self._add(rows, 1)

    def _add(self, rows: Embeddings, threads: int) -> None:
        self.index.add(np.arange(self.next, self.next + len(rows)), rows, threads=threads)
        self.next += len(rows)

    def remove(self, number: int) -> None:
        self.index.remove(number)

    def search(self, queries: Embeddings, count: int) -> Numbers:
        found: Numbers = self.index.search(queries, count, threads=1).keys.reshape(len(queries), count)
        return found.astype(np.int64)

    def disk_bytes(self) -> int:
        return int(self.index.serialized_length)


class HnswLib:
    """hnswlib in memory, ef 64: nothing of it is durable. Built by all cores."""

    def build(self, rows: Embeddings) -> None:
        import hnswlib

        self.index: Any = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(
            max_elements=len(rows) + 200_000,
            M=degree(len(rows)),
            ef_construction=100,
        )
        self.index.set_ef(64)
        self.index.set_num_threads(os.cpu_count() or 1)
        self.next = 0
        for start in range(0, len(rows), _FEW):
            self.append(rows[start : start + _FEW])
        self.index.set_num_threads(1)

    def append(self, rows: Embeddings) -> None:
        self.index.add_items(rows, np.arange(self.next, self.next + len(rows)))
        self.next += len(rows)

    def remove(self, number: int) -> None:
        self.index.mark_deleted(number)

    def search(self, queries: Embeddings, count: int) -> Numbers:
        labels, _ = self.index.knn_query(queries, k=count)
        found: Numbers = labels.astype(np.int64)
        return found

    def disk_bytes(self) -> int:
        return int(self.index.index_file_size())


def degree(rows: int) -> int:
    """How many neighbours the graphs of others keep: their default of 16 where 32 takes too long to build."""
    return 16 if rows > _SMALL else 32


@contextmanager
def _interruptible() -> Iterator[None]:
    """A statement that Ctrl-C ends; otherwise psycopg2 waits for the server, however long that takes."""
    psycopg2.extensions.set_wait_callback(_wait)
    try:
        yield
    finally:
        psycopg2.extensions.set_wait_callback(None)


def _wait(connection: psycopg2.extensions.connection) -> None:
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        descriptor = [connection.fileno()]
        reading = state == psycopg2.extensions.POLL_READ
        select.select(descriptor if reading else [], [] if reading else descriptor, [])


def labels(count: int) -> list[str]:
    """Five photographs of each person."""
    return [f"person {number // 5}" for number in range(count)]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An engine: how it is made, which module it needs, and up to how many vectors it is measured."""

    make: Callable[[], Engine]
    module: str = "faiss"
    largest: int = 1_000_000


ENGINES = {
    "ours auto": Entry(make=Ours),
    "ours auto fp32": Entry(make=lambda: Ours(precision="fp32"), largest=100_000),
    "ours Flat": Entry(make=lambda: Ours(index_type="Flat"), largest=100_000),
    "ours IVF": Entry(make=lambda: Ours(index_type="IVF"), largest=100_000),
    "ours HNSW32": Entry(make=lambda: Ours(index_type="HNSW32"), largest=100_000),
    "raw FAISS Flat": Entry(make=RawFlat),
    "pgvector HNSW": Entry(make=PgVector),
    "usearch": Entry(make=USearch, module="usearch"),
    "hnswlib": Entry(make=HnswLib, module="hnswlib"),
}
