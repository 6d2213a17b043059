"""How right are the texts, kind of page by kind of page, beside other readers on the same weights?

    python -m benchmarks.accuracy [--kinds "turned 90; table"] [--parties "ours v6 small; rapidocr"]
                                  [--limit N] [--threads N] [--engine E] [--home FOLDER] [--output FILE]

Pages are drawn here, the same on every machine, and their text is known; the kind `cases` holds the
pictures of shared/, where the checkout has it. A kind's row says for each party

    exact   lines whose text is right to the last character, of all lines of the kind
    CER     characters wrong, missing or read where there are none, for each character of the kind
    order   found lines that directly follow the line before them in reading order
    s       seconds a page, on a machine that does nothing else

Ours is the text service of a worker without its queue, in this process. rapidocr and faster-paddle run with
their own defaults in environments of their own, made on the first call (350 and 65 MB). `ours v6 tiny`
needs PP-OCRv6_tiny_det and PP-OCRv6_tiny_rec in the model home; parties whose models are not there are left
out. The exit status is 1 when our best party reads no line of a kind.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.labelled_pages import CASES, KINDS, LabelledPage, labelled_pages
from benchmarks.text_readers import MODELS, READERS, Reading, ReadPage
from benchmarks.text_scores import TextScore, score_text, total
from paddlewheel.errors import ModelUnavailable, ModelUnknown

ALL: Final = "all"


@dataclass(frozen=True, kw_only=True)
class ScoredPage:
    """What one party made of one page."""

    page: LabelledPage
    answer: ReadPage
    score: TextScore


def main() -> int:
    """Read, score, print, and say whether a kind is at zero."""
    given = _arguments()
    pages = list(labelled_pages(given.kinds, given.limit))
    how = Reading(threads=given.threads, engine=given.engine, home=given.home)
    scored: dict[str, list[ScoredPage]] = {}
    for party in given.parties:
        try:
            scored[party] = score(pages, READERS[party](how, pages))
        except (ModelUnknown, ModelUnavailable) as err:
            print(f"{party} is left out: {err.message}", file=sys.stderr)
    report = {party: by_kind(of_party, given.kinds) for party, of_party in scored.items()}
    if given.output:
        given.output.write_text(json.dumps(_as_json(report, scored), indent=1, ensure_ascii=False))
    Console(width=max(100, 32 + 27 * len(report))).print(table_of(report))
    ours = [report[party] for party in report if party.startswith("ours")]
    at_zero = [kind for kind in given.kinds if ours and not any(each[kind]["exact"] for each in ours)]
    print(f"Kinds without one right line: {', '.join(at_zero) or 'none'}.")
    return 1 if at_zero else 0


def score(pages: Sequence[LabelledPage], answers: Sequence[ReadPage]) -> list[ScoredPage]:
    """One party's answers against the labels."""
    return [
        ScoredPage(
            page=page,
            answer=answer,
            score=score_text(page.lines, answer.orders, by_words=page.by_words),
        )
        for page, answer in zip(pages, answers, strict=True)
    ]


def by_kind(scored: Sequence[ScoredPage], kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A party's figures for each kind and for all pages."""
    groups = {kind: [each for each in scored if each.page.kind == kind] for kind in kinds}
    return {kind: _figures(each) for kind, each in (*groups.items(), (ALL, list(scored)))}


def _figures(scored: Sequence[ScoredPage]) -> dict[str, Any]:
    sum_of_all = total(each.score for each in scored)
    return {
        **asdict(sum_of_all),
        "error_rate": round(sum_of_all.error_rate, 4),
        "order": None if sum_of_all.order is None else round(sum_of_all.order, 3),
        "seconds": round(sum(each.answer.seconds for each in scored) / max(len(scored), 1), 3),
        "pages": len(scored),
        "failed": sum(each.answer.error is not None for each in scored),
    }


def table_of(report: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """A kind a row, a party a column."""
    table = Table("kind", "lines", *report, title="exact lines, CER, order, seconds a page")
    for kind in next(iter(report.values()), {}):
        row = [report[party][kind] for party in report]
        cells = [_cell(figures) for figures in row]
        table.add_row(kind, str(row[0]["lines"]), *cells, end_section=kind == ALL)
    return table


def _cell(figures: Mapping[str, Any]) -> str:
    order = "  - " if figures["order"] is None else f"{figures['order']:.2f}"
    return f"{figures['exact']:4d}  {figures['error_rate']:.3f}  {order}  {figures['seconds']:5.2f}"


def _as_json(
    report: Mapping[str, Mapping[str, Any]], scored: Mapping[str, Sequence[ScoredPage]]
) -> dict[str, Any]:
    pages = {
        party: [
            {
                "name": each.page.name,
                "expected": each.page.lines,
                "orders": each.answer.orders,
                "error": each.answer.error,
                "seconds": round(each.answer.seconds, 3),
                **asdict(each.score),
            }
            for each in of_party
        ]
        for party, of_party in scored.items()
    }
    return {"kinds": report, "pages": pages}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        epilog="kinds:\n" + "\n".join(f"  {name:15} {kind.about}" for name, kind in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (*KINDS, CASES)
    parser.add_argument("--kinds", type=_several(names), default=list(names), help="separated by ';'")
    parser.add_argument("--parties", type=_several(READERS), default=list(READERS), help="; ".join(READERS))
    parser.add_argument("--limit", type=int, help="pages of each kind; all unless given")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--engine", default="openvino", help="ours: openvino, paddle or onnxruntime")
    parser.add_argument("--home", type=Path, default=MODELS, help="our model home")
    parser.add_argument("--output", type=Path, help="a JSON file of all figures and texts")
    return parser.parse_args()


def _several(names: Any) -> Any:
    def read(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(";")]
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {'; '.join(names)}")
        return wanted

    return read


if __name__ == "__main__":
    sys.exit(main())
