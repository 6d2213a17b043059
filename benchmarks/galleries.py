"""Galleries side by side with raw FAISS, PaddleX's own store, pgvector, usearch and hnswlib, in one run.

    python -m benchmarks.galleries --size 10000 --size 100000 --dimension 128 --dimension 512 --paddlex

Every engine runs in its own process on the same rows with one thread; other engines build their indexes with
all cores. Times are medians in milliseconds, recall is against an exact scan in fp32. Writes galleries.json,
galleries.md with the goals, and a plot of the append time against the size of the gallery. An engine has
`--minutes` at each size; the report says what was not measured in that time. A cell is empty if the engine
has no such operation, or if its package is not installed (usearch, hnswlib). `--merge` adds the results of
other runs.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import psutil

from benchmarks.gallery_engines import ENGINES, TOP_K, HnswLib, Numbers, Ours, PgVector, RawFlat, USearch
from benchmarks.gallery_goals import goals_table
from benchmarks.gallery_report import as_tables, plot
from benchmarks.paddlex_reference import interpreter
from index_store.gallery import Embeddings
from index_store.indexes import exact_index, search_index, use_threads
from index_store.vectors import encode
from tests.embeddings import unit

QUERIES = 2000
PADDLEX_TYPES = ("Flat", "HNSW32", "IVF")
_CHUNK = 50_000
_RECALL_SECONDS = 30.0
_MEDIAN_SECONDS = 30.0
_GRACE_SECONDS = 30.0

_IDENTITY = ("size", "dimension", "engine")

Tell = Callable[..., None]
"""Takes figures by name as soon as they are known."""


def measure(name: str, data: Path, tell: Tell) -> None:
    """Measure one engine and report each figure at once; times are in seconds."""
    rows, queries, exact = (np.load(data / f"{part}.npy") for part in ("rows", "queries", "exact"))
    use_threads(1)
    process = psutil.Process()
    before = process.memory_info().rss
    engine = ENGINES[name].make()
    tell(engine=name, load=os.getloadavg()[0])
    each = iter(range(10**9))

    def query(count: int) -> Embeddings:
        first = next(each) * count % (QUERIES - count)
        part: Embeddings = queries[first : first + count]
        return part

    try:
        start = time.perf_counter()
        engine.build(rows)
        tell(build=time.perf_counter() - start)
        tell(**_recall(_found(engine.search, queries), exact))
        tell(disk_bytes=engine.disk_bytes())
        if not isinstance(engine, PgVector):  # its memory is another process's
            tell(memory_bytes=process.memory_info().rss - before)
        tell(search_1=_median(lambda: engine.search(query(1), TOP_K), 400))
        tell(search_16=_median(lambda: engine.search(query(16), TOP_K), 40))
        if isinstance(engine, Ours):
            tell(**_beside_the_bare_segment(engine, query))
            tell(copy_rows_per_second=len(rows) / (engine.copied - start))
        if isinstance(engine, Ours | PgVector):
            tell(visible=median(engine.visible(query(1)[0]) for _ in range(40)))
        if not isinstance(engine, RawFlat):
            tell(remove=_median(lambda: engine.remove(next(each)), 30))  # type: ignore[attr-defined]
        tell(append_1=_median(lambda: engine.append(query(1)), 60))
        slow = isinstance(engine, PgVector | HnswLib | USearch)
        tell(append_100=_median(lambda: engine.append(query(100)), 12 if slow else 30))
        if isinstance(engine, Ours):
            tell(**_with_a_full_delta(engine, query))
        if not slow:
            many = np.concatenate([rows[:10_000]] * (10_000 // len(rows) + 1))[:10_000]
            tell(append_10000=_median(lambda: engine.append(many), 3))
    finally:
        if isinstance(engine, Ours | PgVector):
            engine.close()


def _found(search: Callable[[Embeddings, int], Numbers], queries: Embeddings) -> Numbers:
    """The answers to all queries, or to as many as take half a minute."""
    deadline = time.monotonic() + _RECALL_SECONDS
    parts: list[Numbers] = []
    for start in range(0, len(queries), 16):
        if time.monotonic() > deadline:
            break
        parts.append(search(queries[start : start + 16], TOP_K))
    found: Numbers = np.concatenate(parts)
    return found


def _recall(found: Numbers, exact: Numbers) -> dict[str, float]:
    """Strict, by position; and how often the best hit is of the right person."""
    exact = exact[: len(found)]
    shared = [len(set(a) & set(b)) / TOP_K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    return {
        "recall_1": float(np.mean(found[:, 0] == exact[:, 0])),
        "recall_10": float(np.mean(shared)),
        "label_recall_1": float(np.mean(found[:, 0] // 5 == exact[:, 0] // 5)),
    }


def _beside_the_bare_segment(engine: Ours, query: Callable[[int], Embeddings]) -> dict[str, float]:
    """Both in turn, so that other work on the machine slows both alike."""
    raw = engine.raw()
    whole, bare = [], []
    for _ in range(600):
        whole.append(_timed(lambda: engine.search(query(1), TOP_K)))
        bare.append(_timed(lambda: raw(query(1))))
    return {"search_1": median(whole), "raw_segment_1": median(bare)}


def _with_a_full_delta(engine: Ours, query: Callable[[int], Embeddings]) -> dict[str, float]:
    """The search with a full delta beside the segment, as it is just before a seal."""
    engine.search(query(1), TOP_K)
    return {"search_1_full_delta": _median(lambda: engine.search(query(1), TOP_K), 200)}


def _median(work: Callable[[], object], times: int) -> float:
    """Of so many times, or of those that fit in half a minute."""
    deadline = time.monotonic() + _MEDIAN_SECONDS
    for _ in range(min(3, times - 1)):
        work()
    taken = [_timed(work)]
    while len(taken) < times and time.monotonic() < deadline:
        taken.append(_timed(work))
    return median(taken)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make_data(folder: Path, size: int, dimension: int) -> None:
    """Five photographs of each person, queries that are a sixth one, and the exact answers.

    In parts, so that a million vectors need little memory; the exact answers with all cores.
    """
    generator = np.random.default_rng(size + dimension)
    asked = np.sort(generator.choice(-(-size // 5), QUERIES))
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (size, dimension))
    queries = np.empty((QUERIES, dimension), np.float32)
    for start in range(0, size, _CHUNK):
        part = rows[start : start + _CHUNK]
        centres = unit(generator.standard_normal((-(-len(part) // 5), dimension), dtype=np.float32))
        made = np.repeat(centres, 5, axis=0)[: len(part)]
        made += 0.75 * unit(generator.standard_normal(made.shape, dtype=np.float32))
        part[:] = unit(made)
        here = (asked >= start // 5) & (asked < start // 5 + len(centres))
        near = centres[asked[here] - start // 5]
        queries[here] = unit(near + 0.75 * unit(generator.standard_normal(near.shape, dtype=np.float32)))
    queries = queries[generator.permutation(QUERIES)]
    rows.flush()
    np.save(folder / "queries.npy", queries)
    np.save(folder / "exact.npy", _exact(rows, queries))


def _exact(rows: Embeddings, queries: Embeddings) -> Numbers:
    use_threads(os.cpu_count() or 1)
    scores, numbers = [], []
    for start in range(0, len(rows), _CHUNK):
        index = exact_index(encode(rows[start : start + _CHUNK], "fp32"), rows.shape[1], "IP", "fp32")
        found, positions = search_index(index, queries, TOP_K)
        scores.append(found)
        numbers.append(positions + start)
    order = np.argsort(-np.concatenate(scores, axis=1), axis=1, kind="stable")[:, :TOP_K]
    best: Numbers = np.take_along_axis(np.concatenate(numbers, axis=1), order, axis=1)
    return best


def run_engine(name: str, data: Path, minutes: float) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.galleries", "measure", name, str(data)]
    return read_figures(name, command, {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}, minutes)


def run_paddlex(python: Path, index_type: str, repeats: int, data: Path, minutes: float) -> dict[str, Any]:
    """PaddleX's figures from an environment of its own."""
    script = Path(__file__).with_name("galleries_paddlex.py")
    command = [str(python), "-P", str(script), str(data), index_type, str(repeats)]
    environment = {"PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True", "TMPDIR": str(data)}
    return read_figures(f"paddlex {index_type}", command, environment, minutes)


def read_figures(
    engine: str, command: Sequence[str], environment: dict[str, str], minutes: float
) -> dict[str, Any]:
    """Run a process and return the figures that it printed before it ended or ran out of time."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **environment},
            process_group=0,
        )
        ended: dict[str, Any] = {}
        try:
            output, _ = process.communicate(timeout=minutes * 60)
        except subprocess.TimeoutExpired:
            output, ended = _interrupted(process), {"over_minutes": minutes}
        except KeyboardInterrupt:
            _interrupted(process)
            raise
        if process.returncode and not ended:
            errors.seek(0)
            last = [line for line in errors.read().splitlines() if line.strip()][-1:] or ["no message"]
            ended = {"error": f"ended with status {process.returncode}: {last[0].strip()[:200]}"}
    lines = [line for line in output.splitlines() if line.startswith('{"engine"')]
    figures: dict[str, Any] = json.loads(lines[-1]) if lines else {"engine": engine}
    return {**figures, **ended, "took": time.monotonic() - start}


def _interrupted(process: subprocess.Popen[str]) -> str:
    """As Ctrl-C does, so that it stops its Postgres."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=_GRACE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGQUIT)  # its Postgres too: to that it is the word to stop at once
        return process.communicate()[0]


@click.group(invoke_without_command=True)
@click.option("--size", "sizes", type=int, multiple=True, default=(10_000,), show_default=True)
@click.option("--dimension", "dimensions", type=int, multiple=True, default=(512,), show_default=True)
@click.option("--engine", "engines", type=click.Choice(list(ENGINES)), multiple=True, help="All by default.")
@click.option("--no-engine", is_flag=True, help="Only PaddleX.")
@click.option("--paddlex", is_flag=True, help="PaddleX too, in an environment that is made for it.")
@click.option("--paddlex-python", type=click.Path(path_type=Path, exists=True), help="One that has PaddleX.")
@click.option("--paddlex-type", "types", type=click.Choice(PADDLEX_TYPES), multiple=True)
@click.option("--minutes", type=float, default=15.0, show_default=True, help="For each engine and size.")
@click.option(
    "--merge",
    "merged",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A galleries.json of another run; later ones and this run's results win.",
)
@click.option("--output", type=click.Path(path_type=Path), default=Path("output"), show_default=True)
@click.pass_context
def main(
    context: click.Context,
    sizes: Sequence[int],
    dimensions: Sequence[int],
    engines: Sequence[str],
    no_engine: bool,
    paddlex: bool,
    paddlex_python: Path | None,
    types: Sequence[str],
    minutes: float,
    merged: Sequence[Path],
    output: Path,
) -> None:
    """Measure; results are added to those that the output folder already has."""
    if context.invoked_subcommand:
        return
    output.mkdir(parents=True, exist_ok=True)
    kept = output / "galleries.json"
    results: list[dict[str, Any]] = []
    for path in (*merged, *([kept] if kept.exists() else ())):
        for result in json.loads(path.read_text()):
            results = _with(results, result)
    wanted = () if no_engine else engines or tuple(ENGINES)
    python = paddlex_python or (interpreter() if paddlex else None)
    failed = False
    for size, dimension in ((size, dimension) for size in sizes for dimension in dimensions):
        with tempfile.TemporaryDirectory(prefix="paddlewheel-benchmark-") as name:
            data = Path(name)
            jobs = list(_jobs(data, size, wanted, python, types or PADDLEX_TYPES, minutes))
            if jobs:
                make_data(data, size, dimension)
            for job in jobs:
                result = {"size": size, "dimension": dimension, **job()}
                click.echo(json.dumps(result))
                failed = failed or ("error" in result and result["engine"].startswith("ours"))
                results = _with(results, result)
                kept.write_text(json.dumps(results, indent=1))
    kept.write_text(json.dumps(results, indent=1))
    _report(results, output)
    if failed:
        context.exit(1)


def _with(results: Sequence[dict[str, Any]], result: dict[str, Any]) -> list[dict[str, Any]]:
    same = tuple(result[name] for name in _IDENTITY)
    return [other for other in results if tuple(other[name] for name in _IDENTITY) != same] + [result]


def _report(results: Sequence[dict[str, Any]], output: Path) -> None:
    """The goals on the screen; tables and plots into the folder."""
    order = [*ENGINES, *(f"paddlex {kind}" for kind in PADDLEX_TYPES)]
    results = sorted(results, key=lambda result: order.index(result["engine"]))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread an engine"
    goals = goals_table(results)
    (output / "galleries.md").write_text(f"Measured on {machine}.\n{as_tables(results)}{goals}")
    click.echo(goals)
    if find_spec("matplotlib"):
        for dimension in sorted({result["dimension"] for result in results}):
            plot(results, dimension, output / f"galleries-append-{dimension}.svg")


def _jobs(
    data: Path,
    size: int,
    engines: Sequence[str],
    python: Path | None,
    types: Sequence[str],
    minutes: float,
) -> list[Callable[[], dict[str, Any]]]:
    jobs: list[Callable[[], dict[str, Any]]] = []
    for name in engines:
        if find_spec(ENGINES[name].module) is None:
            click.echo(f"{name} is left out: {ENGINES[name].module} is not installed.", err=True)
        elif size <= ENGINES[name].largest:
            jobs.append(partial(run_engine, name, data, minutes))
    if python is not None:
        repeats = 3 if size <= 100_000 else 1
        jobs += [partial(run_paddlex, python, kind, repeats, data, minutes) for kind in types]
    return jobs


@main.command("measure")
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def measure_command(engine: str, data: Path) -> None:
    """One engine in this process; prints what is known so far as JSON, after each figure a line."""
    known: dict[str, Any] = {}

    def tell(**figures: Any) -> None:
        known.update(figures)
        click.echo(json.dumps(known))

    measure(engine, data, tell)


if __name__ == "__main__":
    main()
