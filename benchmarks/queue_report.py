"""What `benchmarks.queue` found, as ratios and tables."""

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.table import Table

MODEL: Final = "PP-OCRv4_mobile_rec"
TITLES: Final = {
    "real": f"{MODEL}, engine auto unless named",
    "onnx": "PP-OCRv6_small_rec",
    "fixed": "20 ms a batch",
}
_LOOPS: Final = {
    "network": "network alone",
    "loop": "whole bare loop",
    "network_in_order": "network alone, in the queue's order",
    "loop_in_order": "whole bare loop, in the queue's order",
}
Report = dict[str, Any]


def ratios(report: Report) -> dict[str, float]:
    """Ours against everybody's, at once."""
    found: dict[str, float] = {}
    for kind in TITLES:
        parties = report.get(kind, {})
        ours = parties.get("Paddlewheel")
        if kind == "onnx":
            for name, each in parties.items():
                found |= _beside_bare(f"{kind}: {name}", each, _bare(report, name))
        if ours is None:
            continue
        for name, turn in report.get("turns", {}).items() if kind == "real" else ():
            found |= _beside_bare(f"real: {name}", turn, report["bare"].get(f"{MODEL}, openvino", {}))
            if "paddlex" in report:
                found[f"real: {name} / PaddleX predict"] = _best(turn) / max(report["paddlex"].values())
        for name, each in parties.items():
            if each is not ours:
                found[f"{kind}: Paddlewheel / {name}, a task a line"] = ours["at_once"] / each["at_once"]
            if "together" not in each:
                found[f"{kind}: Paddlewheel, 16 lines a task / {name}"] = ours["together"] / each["at_once"]
    return found


def _bare(report: Report, party: str) -> Report:
    engine = party.rpartition(" ")[2]
    found: Report = report["bare"].get(f"{TITLES['onnx']}, {engine}", {})
    return found


def _beside_bare(name: str, ours: Report, bare: Report) -> dict[str, float]:
    return {
        f"{name} / {title}": _best(ours) / max(speeds[loop] for speeds in bare.values())
        for loop, title in _LOOPS.items()
        if bare
    }


def _best(party: Report) -> float:
    return float(max(party["at_once"], party["together"]))


def show(report: Report) -> None:
    """Tables for people."""
    console = Console(width=140)
    for title, heads, rows in tables(report):
        table = Table("", *heads, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in sentences(report):
        console.print(line)
    for name, ratio in report["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")


def as_markdown(report: Report) -> str:
    """The same as tables of Markdown."""
    lines: list[str] = []
    for title, heads, rows in tables(report):
        lines += [f"| {' | '.join((title, *heads))} |", f"|{'---|' * (1 + len(heads))}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    lines += [f"- {line}" for line in sentences(report)]
    lines += ["", "| ratio | |", "|---|---|"]
    lines += [f"| {name} | {ratio:.2f} |" for name, ratio in report["ratios"].items()]
    return "\n".join(lines) + "\n"


def tables(report: Report) -> Iterator[tuple[str, list[str], list[tuple[str, ...]]]]:
    """Title, the other heads, rows, of each model."""
    for kind, title in TITLES.items():
        parties = report.get(kind)
        if not parties:
            continue
        rates = [load["rate"] for load in next(iter(parties.values()))["rates"]]
        heads = ["lines/s, a task a line", "lines/s, 16 lines a task"]
        heads += [f"p50 / p99 ms at {rate:g}/s" for rate in rates]
        rows = []
        for name, each in parties.items():
            together = f"{each['together']:.0f}" if "together" in each else ""
            rows.append((name, f"{each['at_once']:.0f}", together, *map(latencies, each["rates"])))
        yield title, heads, rows


def sentences(report: Report) -> Iterator[str]:
    """The loops without a queue."""
    for name, turn in report.get("turns", {}).items():
        yield (
            f"in turns with the bare loop and PaddleX, {name}: {turn['at_once']:.0f} lines/s a task a line, "
            f"{turn['together']:.0f} at 16 lines a task"
        )
    for name, sizes in report["bare"].items():
        for size, speeds in sizes.items():
            found = ", ".join(f"{title} {speeds[loop]:.0f}" for loop, title in _LOOPS.items())
            yield f"bare, {name}, batch {size}, lines/s: {found}"
    for size, speed in report.get("paddlex", {}).items():
        yield f"PaddleX's predict, batch {size}: {speed:.0f} lines/s"


def latencies(load: Report) -> str:
    """As people read them; a rate that a party cannot sustain says so."""
    if load["p99_ms"] is None:
        unanswered = load["arrivals"] - load["answered"]
        p50 = "none" if load["p50_ms"] is None else f"{load['p50_ms']:.0f}"
        return f"{p50} / none, {unanswered} of {load['arrivals']} unanswered"
    return f"{load['p50_ms']:.0f} / {load['p99_ms']:.0f}"
