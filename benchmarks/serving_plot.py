"""The rates and latencies of `benchmarks.serving` as an SVG; matplotlib lives in an environment of its own.

.paddlewheel/plots/bin/python -P benchmarks/serving_plot.py FIGURES.json PICTURE.svg
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COLOURS = ("tab:blue", "tab:cyan", "tab:purple", "tab:orange", "tab:red", "tab:brown")


def plot(report: dict[str, Any], picture: Path) -> None:
    """Write the picture; the first call makes the environment."""
    from benchmarks.queue_plot import interpreter

    with tempfile.NamedTemporaryFile("w", suffix=".json") as figures:
        json.dump(report, figures)
        figures.flush()
        command = [str(interpreter()), "-P", __file__, figures.name, str(picture.absolute())]
        subprocess.run(command, check=True)


def draw(report: dict[str, Any], picture: Path) -> None:
    """Requests a second, and p50 to p99, of every door at each number of callers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "paddlewheel"
    doors = report["doors"]
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(11, 4))
    width = 0.8 / len(doors)
    groups = range(len(report["clients"]))
    for number, ((name, runs), colour) in enumerate(zip(doors.items(), COLOURS, strict=False)):
        places = [group + (number - (len(doors) - 1) / 2) * width for group in groups]
        bars = rates.bar(places, [run["rate"] for run in runs], width, color=colour, label=name)
        rates.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
        p50, p99 = [run["p50_ms"] for run in runs], [run["p99_ms"] for run in runs]
        latencies.vlines(places, p50, p99, color=colour)
        latencies.scatter(places, p50, color=colour, marker="o", s=18)
        latencies.scatter(places, p99, color=colour, marker="_", s=50)
    for axis in (rates, latencies):
        axis.set_xticks(list(groups), [f"{count} at a time" for count in report["clients"]])
        axis.grid(visible=True, axis="y", alpha=0.3)
    rates.set(title="requests/s")
    latencies.set(title="p50 (dot) to p99 (bar) [ms]", yscale="log")
    figure.legend(*rates.get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=8)
    figure.suptitle(f"Naming a face among {report['size']:,} over HTTP, two cores")
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
