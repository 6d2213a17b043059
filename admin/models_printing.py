"""Models as text for a terminal, and as objects for JSON."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.models.home.cards import ModelCard
from workers.models.home.installation import Installation
from workers.models.home.official import ModelFacts, PublishedFigures, official_catalog
from workers.models.home.pulling import OpenProgress

if TYPE_CHECKING:
    from workers.models.engines.choice import EngineChoice


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """A model by its name: its card in the catalog, its installation, or both."""

    name: str
    card: ModelCard | None
    installed: Installation | None

    @property
    def family(self) -> str:
        """The model's family; 'unknown' if the model cannot be opened and the catalog lacks it."""
        installed = self.installed.family if self.installed else None
        return installed or (self.card.family if self.card else "unknown")

    @property
    def source(self) -> str:
        """Where `pull` takes the model from."""
        if self.card is None:
            return "-"
        return "package" if self.card.package else "archive"

    def to_json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "name": self.name,
            "family": self.family,
            "licence": self.card.licence if self.card else None,
            "package": str(self.card.package) if self.card and self.card.package else None,
            **_facts_object(self.card),
            "installed": _installed_object(self.installed),
        }


def table(rows: Sequence[ModelSummary]) -> Iterator[str]:
    """The lines of `models list`."""
    cells = [("MODEL", "FAMILY", "FROM", "MB", "PUBLISHED", "HERE"), *map(_row, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def description(known: ModelSummary, home: Path) -> Iterator[str]:
    """The lines of `models show`."""
    yield known.name
    for what, value in _facts(known, home):
        yield f"  {what:<11} {value}"


def engine_object(home: Path, name: str) -> dict[str, Any] | None:
    """The engine that a worker measured to be the fastest for the model here, if one did."""
    choice = _engine_choice(home, name)
    return choice.model_dump(mode="json") if choice else None


def _row(known: ModelSummary) -> tuple[str, ...]:
    figures = known.card.official.figures if known.card and known.card.official else ()
    size = f"{figures[0].size_mb:g}" if figures else "-"
    published = " ".join(f"{value:g}" for value in figures[0].accuracy.values()) if figures else "-"
    here = known.installed.state if known.installed else "-"
    return known.name, known.family, known.source, size, published, here


def _facts(known: ModelSummary, home: Path) -> Iterator[tuple[str, str]]:
    yield "family", known.family
    if known.card:
        yield "licence", known.card.licence
        yield from _catalog_facts(known.card)
    if known.installed:
        yield "here", f"{known.installed.state}, in {known.installed.path}"
        yield "came from", known.installed.origin or "put there by hand"
        if known.installed.problem:
            yield "problem", known.installed.problem
        choice = _engine_choice(home, known.name)
        yield "engine", _engine(choice) if choice else "not measured here yet: a worker does at its start"
    else:
        yield "here", f"no: 'paddlewheel models pull {known.name}' brings it"


def _catalog_facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    if card.package:
        yield "package", str(card.package)
    facts = card.facts
    lines = {
        "terms": facts.terms,
        "finds": facts.finds,
        "input": "x".join(map(str, facts.input)) if facts.input else None,
        "dimension": str(facts.dimension) if facts.dimension else None,
        "languages": ", ".join(facts.languages),
        "thresholds": ", ".join(f"{name} {value:g}" for name, value in facts.thresholds.items()),
    }
    yield from ((what, value) for what, value in lines.items() if value)
    if card.official:
        for figures in card.official.figures:
            yield from _published(figures)
        yield from (("archive", url) for url in card.official.archive_urls())


def _published(figures: PublishedFigures) -> Iterator[tuple[str, str]]:
    catalog = official_catalog()
    environment = catalog.environments[figures.environment]
    yield "published", f"{environment.document}: {figures.size_mb:g} MB"
    for metric, value in figures.accuracy.items():
        yield "", f"  {value:g} {catalog.metrics[metric]}"
    for device, times, where in (
        ("GPU", figures.gpu_ms, environment.gpu),
        ("CPU", figures.cpu_ms, environment.cpu),
    ):
        if times:
            fast = f", {times[1]:g} ms in high-performance mode" if len(times) > 1 else ""
            yield "", f"  {times[0]:g} ms{fast} on a {device}: {where}"


def _engine_choice(home: Path, name: str) -> "EngineChoice | None":
    from workers.models.engines.choice import read_choice  # brings numpy, which the list does without

    return read_choice(home, name)


def _engine(choice: "EngineChoice") -> str:
    batches = " / ".join(map(str, choice.conditions.batch_sizes))
    times = ", ".join(
        f"{each.engine} {each.refused or ' / '.join(f'{ms:.1f}' for ms in each.milliseconds.values())}"
        for each in choice.figures
    )
    when = f"measured {choice.measured_at:%Y-%m-%d}"
    return f"{choice.engine}, {when}: ms an item in batches of {batches}: {times}"


def _facts_object(card: ModelCard | None) -> dict[str, Any]:
    facts = card.facts if card else ModelFacts()
    described = {name: getattr(facts, name) for name in ModelFacts.model_fields}
    official = card.official if card else None
    environments = official_catalog().environments
    figures = [
        {**each.model_dump(mode="json"), "environment": environments[each.environment].model_dump()}
        for each in (official.figures if official else ())
    ]
    archives = official.archive_urls() if official else ()
    return {**described, "figures": figures, "archives": archives}


def _installed_object(installed: Installation | None) -> dict[str, Any] | None:
    if installed is None:
        return None
    return {
        "path": str(installed.path),
        "state": installed.state,
        "origin": installed.origin,
        "problem": installed.problem,
    }


@contextmanager
def download_progress(*, shown: bool) -> Iterator[OpenProgress]:
    """A bar for each file on stderr, or nothing."""
    if not shown:
        yield lambda _file: lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def open_bar(file: str) -> Callable[[int, int | None], None]:
            bar = bars.add_task(file, total=None)
            return lambda done, total: bars.update(bar, completed=done, total=total)

        yield open_bar
