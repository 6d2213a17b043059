"""The goals for galleries, and whether a run of `benchmarks.galleries` met them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.gallery_report import short

Result: TypeAlias = dict[str, Any]
OURS = "ours auto"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One figure of a goal: at which size, in words, and whether it is good enough."""

    where: str
    text: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A goal, and how to find its figures among the results."""

    wanted: str
    shown: Callable[[Sequence[Result]], Iterator[Shown]]

    def row(self, results: Sequence[Result]) -> str:
        """A line of the table."""
        found = list(self.shown(results))
        missed = [shown.where for shown in found if not shown.met]
        verdict = f"not at {', '.join(missed)}" if missed else "met" if found else "not measured"
        return f"| {self.wanted} | {'; '.join(f'{s.where}: {s.text}' for s in found)} | {verdict} |"


def goals_table(results: Sequence[Result]) -> str:
    """Markdown: each goal, what was measured at each size, and whether it is met there."""
    ordered = sorted(results, key=lambda result: (result["dimension"], result["size"]))
    lines = ["\n### Goals\n", "| goal | measured | |", "|---|---|---|"]
    return "\n".join([*lines, *(goal.row(ordered) for goal in GOALS)]) + "\n"


def _at_most(name: str, limit: float) -> Callable[[Sequence[Result]], Iterator[Shown]]:
    def shown(results: Sequence[Result]) -> Iterator[Shown]:
        for result in _of(results, OURS, name):
            value = result[name] * 1000
            yield Shown(where=_where(result), text=f"{short(value)} ms", met=value <= limit)

    return shown


def _growth(results: Sequence[Result]) -> Iterator[Shown]:
    ours = _of(results, OURS, "append_1")
    for small in (result for result in ours if result["size"] == 10_000):
        for result in ours:
            if result["dimension"] == small["dimension"] and result["size"] > small["size"]:
                ratio = result["append_1"] / small["append_1"]
                yield Shown(where=_where(result), text=f"{ratio:.2g} times", met=ratio <= 4)


def _bulk(results: Sequence[Result]) -> Iterator[Shown]:
    for result in _of(results, OURS, "copy_rows_per_second"):
        rate = result["copy_rows_per_second"]
        if result["dimension"] == 512:
            yield Shown(where=_where(result), text=f"{rate:,.0f} a second", met=rate >= 60_000)


def _against(
    engine: str, name: str, limit: float, size: int | None = None
) -> Callable[[Sequence[Result]], Iterator[Shown]]:
    def shown(results: Sequence[Result]) -> Iterator[Shown]:
        for ours, theirs in _pairs(results, engine, name):
            ratio = ours[name] / theirs[name]
            text = f"{short(ours[name] * 1000)} ms to {short(theirs[name] * 1000)} ms, {ratio:.2g} times"
            if size in (None, ours["size"]):
                yield Shown(where=_where(ours), text=text, met=ratio <= limit)

    return shown


def _beside_the_segment(results: Sequence[Result]) -> Iterator[Shown]:
    for result in _of(results, OURS, "raw_segment_1"):
        whole, bare = result["search_1"] * 1000, result["raw_segment_1"] * 1000
        yield Shown(
            where=_where(result),
            text=f"{short(whole)} ms to {short(bare)} ms, {whole / bare:.2f} times, +{whole - bare:.2g} ms",
            met=whole <= 2 * bare and whole - bare <= 0.3,
        )


def _recall(results: Sequence[Result]) -> Iterator[Shown]:
    for result in _of(results, OURS, "recall_1"):
        first, ten = result["recall_1"], result["recall_10"]
        yield Shown(
            where=_where(result), text=f"{first:.4f} and {ten:.4f}", met=first >= 0.999 and ten >= 0.99
        )


def _of(results: Sequence[Result], engine: str, name: str) -> list[Result]:
    return [result for result in results if result["engine"] == engine and name in result]


def _pairs(results: Sequence[Result], engine: str, name: str) -> Iterator[tuple[Result, Result]]:
    for ours in _of(results, OURS, name):
        for theirs in _of(results, engine, name):
            if _where(ours) == _where(theirs):
                yield ours, theirs


def _where(result: Result) -> str:
    return f"{result['size']:,} x {result['dimension']}"


GOALS = (
    Goal(wanted="append one, durable: at most 2 ms", shown=_at_most("append_1", 2)),
    Goal(wanted="append one: at most 4 times that of 10,000", shown=_growth),
    Goal(wanted="visible on another process: at most 5 ms", shown=_at_most("visible", 5)),
    Goal(wanted="bulk append: at least 60,000 vectors of 512 a second", shown=_bulk),
    Goal(
        wanted="append one: at most 0.001 times PaddleX's folder at 100,000",
        shown=_against("paddlex Flat", "append_1", 0.001, 100_000),
    ),
    Goal(
        wanted="search against the bare segment: at most 2 times and at most 0.3 ms more",
        shown=_beside_the_segment,
    ),
    Goal(
        wanted="search against FAISS Flat: at most 0.1 times at 100,000",
        shown=_against("raw FAISS Flat", "search_1", 0.1, 100_000),
    ),
    Goal(wanted="recall: at least 0.999 at 1 and 0.99 at 10", shown=_recall),
    Goal(
        wanted="search against pgvector's HNSW: at most 0.4 times",
        shown=_against("pgvector HNSW", "search_1", 0.4),
    ),
    Goal(
        wanted="append one against pgvector's HNSW: at most 0.2 times",
        shown=_against("pgvector HNSW", "append_1", 0.2),
    ),
    Goal(
        wanted="append 100 against pgvector's HNSW: at most 0.01 times",
        shown=_against("pgvector HNSW", "append_100", 0.01),
    ),
)
"""All that these figures can show; `benchmarks.galleries_kill` shows that kills lose nothing."""
