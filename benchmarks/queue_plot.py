"""The latencies of `benchmarks.queue` as an SVG; matplotlib lives in an environment of its own.

.paddlewheel/plots/bin/python -P benchmarks/queue_plot.py FIGURES.json PICTURE.svg
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

REQUIREMENTS: Final = ("matplotlib>=3.10",)
# Nothing of the project is imported: the other environment runs this file.
ENVIRONMENT: Final = Path(__file__).parents[1] / ".paddlewheel" / "plots"


def plot(report: dict[str, Any], picture: Path) -> None:
    """Write the picture; the first call makes the environment."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as figures:
        json.dump(report, figures)
        figures.flush()
        command = [str(interpreter()), "-P", __file__, figures.name, str(picture.absolute())]
        subprocess.run(command, check=True)


def interpreter() -> Path:
    """The Python that has matplotlib."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / "ready.json"
    if not done.is_file() or json.loads(done.read_text()) != list(REQUIREMENTS):
        uv = (sys.executable, "-m", "uv", "--quiet")
        subprocess.run(
            [*uv, "venv", "--allow-existing", "--python", sys.executable, str(ENVIRONMENT)], check=True
        )
        subprocess.run([*uv, "pip", "install", "--python", str(python), *REQUIREMENTS], check=True)
        done.write_text(json.dumps(REQUIREMENTS))
    return python


def draw(report: dict[str, Any], picture: Path) -> None:
    """Lines a second, and p50 and p99 at each rate, of every party of the model with a fixed time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "paddlewheel"
    parties = report["fixed"]
    names = list(parties)[::-1]
    rates = [each["rate"] for each in parties[names[0]]["rates"]]
    figure, axes = pyplot.subplots(1, 1 + len(rates), figsize=(12, 4.2), sharey=True)
    speeds = [parties[name]["at_once"] for name in names]
    together = [parties[name].get("together", 0.0) for name in names]
    places = range(len(names))
    for offset, values, colour, label in (
        (0.2, speeds, "tab:blue", "a task a line"),
        (-0.2, together, "tab:cyan", "16 lines a task"),
    ):
        bars = axes[0].barh([place + offset for place in places], values, 0.4, color=colour, label=label)
        axes[0].bar_label(bars, [f"{value:.0f}" if value else "" for value in values], padding=2, fontsize=8)
    axes[0].set(title="lines/s, all at once", xlim=(0, max(*speeds, *together) * 1.2))
    axes[0].set_yticks(list(places), names)
    axes[0].legend(loc="lower right", fontsize=8)
    for number, rate in enumerate(rates):
        axis = axes[number + 1]
        for place, name in enumerate(names):
            load = parties[name]["rates"][number]
            if load["p99_ms"] is None:
                axis.text(10, place, "not sustained", va="center", fontsize=8)
                continue
            axis.plot([load["p50_ms"], load["p99_ms"]], [place, place], color="tab:gray", zorder=1)
            axis.scatter(load["p50_ms"], place, color="tab:blue", label="p50" if not place else None)
            axis.scatter(load["p99_ms"], place, color="tab:orange", label="p99" if not place else None)
        axis.set(title=f"latency at {rate:g}/s [ms]", xscale="log", xlim=(8, 10_000))
        axis.grid(visible=True, alpha=0.3)
    axes[1].scatter([], [], color="tab:blue", label="p50")
    axes[1].scatter([], [], color="tab:orange", label="p99")
    handles = {label: each for each, label in zip(*axes[1].get_legend_handles_labels(), strict=True)}
    axes[1].legend(handles.values(), handles.keys(), loc="lower right", fontsize=8)
    figure.suptitle("A model of 20 ms a batch behind each queue, two cores")
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
