import sys
from typing import Any

from benchmarks.galleries import read_figures
from benchmarks.gallery_goals import goals_table
from benchmarks.gallery_report import as_tables


def results() -> list[dict[str, Any]]:
    ours = {"engine": "ours auto", "size": 100_000, "dimension": 512, "append_1": 0.001, "search_1": 0.0005}
    return [
        ours | {"raw_segment_1": 0.0003, "recall_1": 0.9995, "recall_10": 0.98},
        {"engine": "pgvector HNSW", "size": 100_000, "dimension": 512, "append_1": 0.004, "search_1": 0.004},
        {"engine": "paddlex Flat", "size": 100_000, "dimension": 512, "over_minutes": 5.0},
    ]


def row(wanted: str) -> str:
    (found,) = (line for line in goals_table(results()).splitlines() if line.startswith(f"| {wanted}"))
    return found


def test_a_goal_is_met_where_its_figure_is_good_enough() -> None:
    assert row("append one, durable").endswith("| 100,000 x 512: 1 ms | met |")
    assert "0.5 ms to 0.3 ms, 1.67 times, +0.2 ms | met" in row("search against the bare segment")


def test_a_goal_that_is_missed_names_the_size() -> None:
    assert row("recall").endswith("| not at 100,000 x 512 |")
    assert row("append one against pgvector").endswith("0.25 times | not at 100,000 x 512 |")


def test_a_goal_without_figures_is_not_called_met() -> None:
    assert row("append one: at most 0.001 times PaddleX").endswith("|  | not measured |")
    assert row("append one: at most 4 times").endswith("|  | not measured |")


def test_each_engine_grows_in_a_row_of_its_own() -> None:
    small = {"engine": "pgvector HNSW", "size": 10_000, "dimension": 512, "append_1": 0.002}
    rows = as_tables([small, *results()]).splitlines()
    grown = rows[rows.index("### How each grows, 512") :]
    assert "| engine | append_1, 10,000 | append_1, 100,000 | search_1, 10,000 | search_1, 100,000 |" in grown
    assert "| pgvector HNSW | 2 | 4 |  | 4 |" in grown
    assert "| ours auto |  | 1 |  | 0.5 |" in grown


def test_an_engine_that_takes_too_long_keeps_its_partial_results() -> None:
    slow = """print('{"engine": "slow", "build": 1}', flush=True); import time; time.sleep(60)"""
    figures = read_figures("slow", [sys.executable, "-c", slow], {}, 1 / 60)
    assert (figures["build"], figures["over_minutes"]) == (1, 1 / 60)


def test_an_engine_that_fails_says_why() -> None:
    failing = """print('{"engine": "torn", "build": 1}'); raise ValueError("no memory")"""
    figures = read_figures("torn", [sys.executable, "-c", failing], {}, 1)
    assert (figures["build"], figures["error"]) == (1, "ended with status 1: ValueError: no memory")
