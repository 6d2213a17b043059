"""Galleries side by side with raw FAISS, PaddleX's own store, pgvector, usearch and hnswlib, in one run.

    python -m benchmarks.galleries --size 10000 --size 100000 --paddlex-python ENVIRONMENT/bin/python

Every engine is measured in a process of its own on the same rows, one thread each. Times are medians in
milliseconds, recall is against an exact scan in fp32. Writes galleries.json, galleries.md and a plot of the
append time against the size of the gallery. What is not measured for an engine is left empty: it has no such
operation, or `--paddlex-python` was not given.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import click
import numpy as np
import numpy.typing as npt
import psutil

from index_store.database import Database
from index_store.gallery import Embeddings, GallerySpec, IndexType
from index_store.indexes import exact_index, search_index, use_threads
from index_store.migration import migrate
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from index_store.vectors import encode
from tests.embeddings import unit
from tests.postgres import PostgresServer

QUERIES = 500
TOP_K = 10
KEY = "benchmark"
FIGURES = (
    "build",
    "append_1",
    "append_100",
    "append_10000",
    "visible",
    "remove",
    "search_1",
    "search_16",
    "recall_1",
    "recall_10",
    "disk_bytes",
    "memory_bytes",
)

Numbers = npt.NDArray[np.int64]


class Engine(Protocol):
    """What is measured. Row numbers are the answer of a search; `remove` may not exist."""

    def build(self, rows: Embeddings) -> None: ...
    def append(self, rows: Embeddings) -> None: ...
    def search(self, queries: Embeddings, count: int) -> Numbers: ...
    def disk_bytes(self) -> int: ...


@dataclass
class Ours:
    """GalleryStore over Postgres, fsync on, sealed as maintenance would."""

    index_type: IndexType = "auto"
    server: PostgresServer = field(default_factory=lambda: PostgresServer("shared_buffers=256MB"))
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="paddlewheel-segments-")))
    first_id: int = 0

    def build(self, rows: Embeddings) -> None:
        migrate(self.server.url())
        self.store, self.other = (
            GalleryStore(Database(self.server.url()), SegmentFolder(self.folder)) for _ in range(2)
        )
        spec = GallerySpec(dimension=rows.shape[1], index_type=self.index_type)
        self.first_id = self.store.build(KEY, spec, rows, _labels(len(rows))).ids[0]
        self.copied = time.perf_counter()
        self.sealer = Sealer(database=self.store.database, files=self.store.files, policy=SealingPolicy())
        self.sealer.compact(KEY)
        with self.store.database.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE gallery_vectors")

    def append(self, rows: Embeddings) -> None:
        self.store.append(KEY, rows, _labels(len(rows)))

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
    """pgvector's HNSW over halfvec, m 32, ef_construction 64, ef_search 64."""

    def build(self, rows: Embeddings) -> None:
        self.server = PostgresServer("shared_buffers=512MB", "maintenance_work_mem=1GB")
        self.connections = [Database(self.server.url()) for _ in range(2)]
        dimension = rows.shape[1]
        with self.connections[0].cursor() as cursor:
            cursor.execute("CREATE EXTENSION vector")
            cursor.execute(f"CREATE TABLE items (id bigint PRIMARY KEY, label text, v halfvec({dimension}))")
            self._insert(rows, 0)
            cursor.execute(
                "CREATE INDEX items_v ON items USING hnsw (v halfvec_ip_ops)"
                " WITH (m = 32, ef_construction = 64)"
            )
            cursor.execute("VACUUM ANALYZE items")
        self.next = len(rows)

    def _insert(self, rows: Embeddings, start: int) -> None:
        from io import StringIO

        lines = (
            f"{start + number}\tx\t[{','.join(map(str, row))}]\n" for number, row in enumerate(rows.tolist())
        )
        with self.connections[0].transaction() as cursor:
            cursor.copy_expert("COPY items FROM STDIN", StringIO("".join(lines)))

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
                "SET hnsw.ef_search = 64; SELECT id FROM items ORDER BY v <#> %s::halfvec LIMIT %s",
                (f"[{','.join(map(str, query.tolist()))}]", count),
            )
            return [row[0] for row in cursor.fetchall()]

    def disk_bytes(self) -> int:
        with self.connections[0].cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('items')")
            return int((cursor.fetchone() or (0,))[0])

    def close(self) -> None:
        self.server.close()


class USearch:
    """usearch in memory, f16, connectivity 32, expansion_search 64: nothing of it is durable."""

    def build(self, rows: Embeddings) -> None:
        from usearch.index import Index

        self.index: Any = Index(
            ndim=rows.shape[1],
            metric="ip",
            dtype="f16",
            connectivity=32,
            expansion_add=64,
            expansion_search=64,
        )
        self.next = 0
        self.append(rows)

    def append(self, rows: Embeddings) -> None:
        self.index.add(np.arange(self.next, self.next + len(rows)), rows, threads=1)
        self.next += len(rows)

    def remove(self, number: int) -> None:
        self.index.remove(number)

    def search(self, queries: Embeddings, count: int) -> Numbers:
        found: Numbers = self.index.search(queries, count, threads=1).keys.reshape(len(queries), count)
        return found.astype(np.int64)

    def disk_bytes(self) -> int:
        return int(self.index.serialized_length)


class HnswLib:
    """hnswlib in memory, M 32, ef 64: nothing of it is durable."""

    def build(self, rows: Embeddings) -> None:
        import hnswlib

        self.index: Any = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(max_elements=2 * len(rows) + 100_000, M=32, ef_construction=64)
        self.index.set_ef(64)
        self.index.set_num_threads(1)
        self.next = 0
        self.append(rows)

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


ENGINES: dict[str, Callable[[], Engine]] = {
    "ours auto": Ours,
    "ours Flat": lambda: Ours(index_type="Flat"),
    "ours HNSW32": lambda: Ours(index_type="HNSW32"),
    "raw FAISS Flat": RawFlat,
    "pgvector HNSW": PgVector,
    "usearch": USearch,
    "hnswlib": HnswLib,
}
PADDLEX_TYPES = ("Flat", "HNSW32")
PADDLEX_REPEATS = 3


def measure(name: str, data: Path) -> dict[str, Any]:
    """Every figure of one engine; times are in seconds."""
    rows, queries, exact = (np.load(data / f"{part}.npy") for part in ("rows", "queries", "exact"))
    use_threads(1)
    process = psutil.Process()
    before = process.memory_info().rss
    engine = ENGINES[name]()
    figures: dict[str, Any] = {"engine": name}
    try:
        start = time.perf_counter()
        engine.build(rows)
        figures["build"] = time.perf_counter() - start
        found = engine.search(queries, TOP_K)
        figures["recall_1"] = float(np.mean(found[:, 0] == exact[:, 0]))
        figures["recall_10"] = float(
            np.mean(
                [len(set(a) & set(b)) / TOP_K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
            )
        )
        figures["memory_bytes"] = process.memory_info().rss - before
        figures["disk_bytes"] = engine.disk_bytes()
        each = iter(range(10**9))

        def query(count: int) -> Embeddings:
            first = next(each) * count % (QUERIES - count)
            part: Embeddings = queries[first : first + count]
            return part

        figures["search_1"] = _median(lambda: engine.search(query(1), TOP_K), 400)
        figures["search_16"] = _median(lambda: engine.search(query(16), TOP_K), 40)
        if isinstance(engine, Ours):
            raw = engine.raw()
            figures["raw_segment_1"] = _median(lambda: raw(query(1)), 400)
            figures["copy_rows_per_second"] = len(rows) / (engine.copied - start)
        if isinstance(engine, Ours | PgVector):
            figures["visible"] = median(engine.visible(query(1)[0]) for _ in range(40))
        figures["append_1"] = _median(lambda: engine.append(query(1)), 60)
        figures["append_100"] = _median(lambda: engine.append(query(100)), 12 if _slow(engine) else 30)
        if not _slow(engine):
            many = np.concatenate([rows] * (10_000 // len(rows) + 1))[:10_000]
            figures["append_10000"] = _median(lambda: engine.append(many), 3)
        if not isinstance(engine, RawFlat):
            figures["remove"] = _median(lambda: engine.remove(next(each)), 30)  # type: ignore[attr-defined]
        if isinstance(engine, Ours):
            figures |= _after_appends(engine, query)
    finally:
        if isinstance(engine, Ours | PgVector):
            engine.close()
    return figures


def _after_appends(engine: Ours, query: Callable[[int], Embeddings]) -> dict[str, float]:
    """The search with a full delta beside the segment, as it is just before a seal."""
    engine.sealer.compact(KEY)
    engine.append(np.concatenate([query(100)] * 40))
    engine.search(query(1), TOP_K)
    return {"search_1_full_delta": _median(lambda: engine.search(query(1), TOP_K), 200)}


def _slow(engine: Engine) -> bool:
    return isinstance(engine, PgVector | HnswLib | USearch)


def _median(work: Callable[[], object], times: int) -> float:
    for _ in range(min(3, times - 1)):
        work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def _labels(count: int) -> list[str]:
    return [f"person {number // 5}" for number in range(count)]


def make_data(folder: Path, size: int, dimension: int) -> None:
    """Five photographs of each person, queries that are a sixth one, and the exact answers."""
    generator = np.random.default_rng(size + dimension)
    centres = unit(generator.standard_normal((size // 5 + 1, dimension), dtype=np.float32))
    rows = np.repeat(centres, 5, axis=0)[:size]
    rows += 0.75 * unit(generator.standard_normal(rows.shape, dtype=np.float32))
    queries = centres[generator.choice(len(centres), QUERIES)]
    queries = queries + 0.75 * unit(generator.standard_normal(queries.shape, dtype=np.float32))
    rows, queries = unit(rows), unit(queries)
    index = exact_index(encode(rows, "fp32"), dimension, "IP", "fp32")
    for name, value in (
        ("rows", rows),
        ("queries", queries),
        ("exact", search_index(index, queries, TOP_K)[1]),
    ):
        np.save(folder / f"{name}.npy", value)


def run_engine(name: str, data: Path) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.galleries", "measure", name, str(data)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_paddlex(python: Path, index_type: str, data: Path) -> dict[str, Any]:
    """PaddleX's figures from an environment of its own."""
    script = Path(__file__).with_name("galleries_paddlex.py")
    command = [str(python), str(script), str(data), index_type, str(PADDLEX_REPEATS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def as_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row an engine, times in milliseconds with the ratio to ours in brackets."""
    lines = []
    for size, dimension in sorted({(result["size"], result["dimension"]) for result in results}):
        group = [result for result in results if (result["size"], result["dimension"]) == (size, dimension)]
        ours = next((result for result in group if result["engine"] == "ours auto"), {})
        lines += [f"\n### {size:,} x {dimension}\n", f"| engine | {' | '.join(FIGURES)} |"]
        lines.append("|---" * (len(FIGURES) + 1) + "|")
        lines += [
            f"| {result['engine']} | {' | '.join(_cell(result, ours, name) for name in FIGURES)} |"
            for result in group
        ]
        extra = ("raw_segment_1", "search_1_full_delta", "copy_rows_per_second")
        told = {name: ours[name] for name in extra if name in ours}
        lines.append(f"\nours auto: {json.dumps({name: round(value, 6) for name, value in told.items()})}")
        lines += [
            f"\n{result['engine']}: serving_append_1 {result['serving_append_1'] * 1000:.1f} ms"
            for result in group
            if "serving_append_1" in result
        ]
    return "\n".join(lines) + "\n"


def _cell(result: dict[str, Any], ours: dict[str, Any], name: str) -> str:
    value = result.get(name)
    if value is None:
        return ""
    if name.startswith("recall"):
        return f"{value:.4f}"
    if name.endswith("bytes"):
        return f"{value / 1e6:.1f} MB"
    ratio = f" ({value / ours[name]:.3g}x)" if result is not ours and ours.get(name) else ""
    return f"{value * 1000:.3g}{ratio}"


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Append one against the gallery's size, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    durable = ("ours auto", "pgvector HNSW", *(f"paddlex {kind}" for kind in PADDLEX_TYPES))
    for name in durable:
        points = sorted((r["size"], r["append_1"] * 1000) for r in results if r["engine"] == name)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="vectors in the gallery", ylabel="append one, p50 [ms]")
    axes.set_title("A durable append against the size of the gallery")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@click.group(invoke_without_command=True)
@click.option("--size", "sizes", type=int, multiple=True, default=(10_000,), show_default=True)
@click.option("--dimension", default=512, show_default=True)
@click.option("--engine", "engines", type=click.Choice(list(ENGINES)), multiple=True, help="All by default.")
@click.option("--no-engine", is_flag=True, help="Only PaddleX, as of --paddlex-python.")
@click.option("--paddlex-python", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path), default=Path("output"), show_default=True)
@click.pass_context
def main(
    context: click.Context,
    sizes: Sequence[int],
    dimension: int,
    engines: Sequence[str],
    no_engine: bool,
    paddlex_python: Path | None,
    output: Path,
) -> None:
    """Measure; results are added to those that the output folder already has."""
    if context.invoked_subcommand:
        return
    output.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    with suppress(FileNotFoundError):
        results = json.loads((output / "galleries.json").read_text())
    wanted = () if no_engine else engines or tuple(ENGINES)
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="paddlewheel-benchmark-") as name:
            data = Path(name)
            make_data(data, size, dimension)
            jobs = [partial(run_engine, engine, data) for engine in wanted]
            if paddlex_python is not None:
                jobs += [partial(run_paddlex, paddlex_python, kind, data) for kind in PADDLEX_TYPES]
            for job in jobs:
                result = {"size": size, "dimension": dimension, **job()}
                click.echo(json.dumps(result))
                same = (size, dimension, result["engine"])
                results = [r for r in results if (r["size"], r["dimension"], r["engine"]) != same] + [result]
                (output / "galleries.json").write_text(json.dumps(results, indent=1))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread an engine"
    (output / "galleries.md").write_text(f"Measured on {machine}.\n{as_table(results)}")
    plot(results, output / "galleries-append.png")


@main.command("measure")
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def measure_command(engine: str, data: Path) -> None:
    """One engine in this process; prints JSON."""
    click.echo(json.dumps(measure(engine, data)))


if __name__ == "__main__":
    main()
