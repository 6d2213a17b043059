"""What `benchmarks.galleries` writes: tables, and the plot of the append time against the gallery's size."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
_GROWTH = (
    "append_1",
    "append_100",
    "append_10000",
    "visible",
    "remove",
    "raw_segment_1",
    "search_1",
    "search_1_full_delta",
    "search_16",
)
_LINES = (
    ("ours auto", "Paddlewheel", "#0b6e4f"),
    ("pgvector HNSW", "pgvector, HNSW index", "#8a6d00"),
    ("paddlex Flat server", "PaddleX's server, Flat", "#c1666b"),
    ("paddlex Flat", "PaddleX's folder, Flat", "#a4161a"),
)


def as_tables(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a table a size, and two of how `auto` and all grow a dimension; times in milliseconds."""
    groups = sorted({(result["dimension"], result["size"]) for result in results})
    parts = [
        _table(size, dimension, [r for r in results if (r["dimension"], r["size"]) == (dimension, size)])
        for dimension, size in groups
    ]
    for dimension in sorted({dimension for dimension, _ in groups}):
        ours = [r for r in results if r["dimension"] == dimension and r["engine"] == "ours auto"]
        parts.append(_growth(dimension, sorted(ours, key=lambda result: int(result["size"]))))
        parts.append(_growth_of_each(dimension, [r for r in results if r["dimension"] == dimension]))
    return "\n".join(parts)


def _table(size: int, dimension: int, group: Sequence[dict[str, Any]]) -> str:
    ours = next((result for result in group if result["engine"] == "ours auto"), {})
    lines = [f"\n### {size:,} x {dimension}\n", f"| engine | {' | '.join(FIGURES)} |"]
    lines.append("|---" * (len(FIGURES) + 1) + "|")
    lines += [
        f"| {result['engine']} | {' | '.join(_cell(result, ours, name) for name in FIGURES)} |"
        for result in group
    ]
    extra = ("raw_segment_1", "search_1_full_delta", "copy_rows_per_second", "label_recall_1", "load")
    lines += [f"\n{result['engine']}: {_ended(result)}" for result in group if _ended(result)]
    for result in group:
        extras = {name: result[name] for name in (*extra, "serving_append_1") if name in result}
        lines.append(f"\n{result['engine']}: {json.dumps({name: round(extras[name], 6) for name in extras})}")
    return "\n".join(lines) + "\n"


def _ended(result: dict[str, Any]) -> str:
    """Why there are figures missing, in words; empty where it went to the end."""
    if "error" in result:
        return str(result["error"])
    if "over_minutes" not in result:
        return ""
    done = "measured to the end" if "build" in result else "built"
    return f"not {done} within {result['over_minutes']:g} minutes"


def _growth(dimension: int, ours: Sequence[dict[str, Any]]) -> str:
    lines = [f"\n### How auto grows, {dimension}\n", f"| vectors | {' | '.join(_GROWTH)} |"]
    lines.append("|---" * (len(_GROWTH) + 1) + "|")
    lines += [
        f"| {result['size']:,} | {' | '.join(_cell(result, result, name) for name in _GROWTH)} |"
        for result in ours
    ]
    return "\n".join(lines) + "\n"


def _growth_of_each(dimension: int, results: Sequence[dict[str, Any]]) -> str:
    """An append and a search of every engine, size by size."""
    sizes = sorted({int(result["size"]) for result in results})
    figures = [(name, size) for name in ("append_1", "search_1") for size in sizes]
    found = {(r["engine"], name, r["size"]): r[name] for r in results for name in FIGURES if name in r}
    lines = [f"\n### How each grows, {dimension}\n"]
    lines.append("| engine | " + " | ".join(f"{name}, {size:,}" for name, size in figures) + " |")
    lines.append("|---" * (len(figures) + 1) + "|")
    for engine in dict.fromkeys(result["engine"] for result in results):
        values = (found.get((engine, name, size)) for name, size in figures)
        cells = ("" if value is None else short(value * 1000) for value in values)
        lines.append(f"| {engine} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(result: dict[str, Any], ours: dict[str, Any], name: str) -> str:
    value = result.get(name)
    if value is None:
        return ""
    if name.startswith("recall"):
        return f"{value:.4f}"
    if name.endswith("bytes"):
        return f"{value / 1e6:.1f} MB"
    ratio = f" ({short(value / ours[name])}x)" if result is not ours and ours.get(name) else ""
    return f"{short(value)} s{ratio}" if name == "build" else f"{short(value * 1000)}{ratio}"


def short(value: float) -> str:
    """Three digits, or the whole number where it has more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plot(results: Sequence[dict[str, Any]], dimension: int, path: Path) -> None:
    """A durable append of one vector against the gallery's size, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "paddlewheel", "font.family": "sans-serif"}
    figure, axes = pyplot.subplots(figsize=(7.6, 4.4))
    for name, label, colour in _LINES:
        points = _points(results, dimension, name)
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), marker="o", color=colour, linewidth=2, markersize=5)
        size, taken = points[-1]
        axes.annotate(
            f"{label}: {_time(taken)}",
            (size, taken),
            xytext=(10, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=10,
        )
    sizes = sorted({int(result["size"]) for result in results if result["dimension"] == dimension})
    axes.set(xscale="log", yscale="log", xlim=(sizes[0] * 0.7, sizes[-1] * 50), ylim=(0.3, 300_000))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value):,}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    axes.set_xticks(sizes)
    axes.minorticks_off()
    axes.set_xlabel("vectors in the gallery")
    axes.set_title(f"Adding one vector of {dimension}, durably (median)", loc="left", fontsize=12)
    axes.grid(visible=True, alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _points(results: Sequence[dict[str, Any]], dimension: int, name: str) -> list[tuple[int, float]]:
    engine = name.removesuffix(" server")
    figure = "append_1" if engine == name else "serving_append_1"
    return sorted(
        (int(r["size"]), r[figure] * 1000)
        for r in results
        if (r["engine"], r["dimension"]) == (engine, dimension) and figure in r
    )


def _time(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:,.3g} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"
