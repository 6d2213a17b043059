"""How commands print: JSON, tables that a pipe does not cut, sentences, and progress bars on stderr."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from index_store.gallery import Gallery, VectorRecord
from index_store.garbage import CollectedFiles
from index_store.sealing import Sealed, Step

_STEPS: tuple[Step, ...] = ("announce", "read", "build", "write", "publish", "commit", "done")
_UNCUT = 1_000_000


def print_json(value: object, *, indent: int | None = None) -> None:
    """One JSON document, on one line without an `indent`."""

    def plain(other: object) -> object:
        return other.isoformat() if isinstance(other, datetime) else str(other)

    click.echo(json.dumps(value, default=plain, ensure_ascii=False, indent=indent))


def print_galleries(galleries: Sequence[Gallery], *, as_json: bool) -> None:
    """A table, or JSON lines."""
    table = Table("key", "vectors", "dimension", "metric", "index type", "generation")
    for gallery in galleries:
        spec = gallery.spec
        cells = (gallery.live, spec.dimension, spec.metric, spec.index_type, gallery.generation)
        table.add_row(gallery.key, *(str(cell) for cell in cells))
    _print_rows(table, [asdict(gallery) for gallery in galleries], as_json=as_json)


def print_vectors(records: Sequence[VectorRecord], *, as_json: bool) -> None:
    """A table, or JSON lines, of all but the embeddings."""
    table = Table("id", "label", "external id", "metadata")
    for record in records:
        metadata = "" if record.metadata is None else json.dumps(record.metadata, ensure_ascii=False)
        table.add_row(str(record.id), Text(record.label), Text(record.external_id or ""), Text(metadata))
    _print_rows(table, [_without_embedding(record) for record in records], as_json=as_json)


def print_sealed(sealed: Sequence[Sealed]) -> None:
    """A line for each segment that was written."""
    for segment in sealed:
        recall = "" if segment.recall is None else f", recall {segment.recall:.4f}"
        click.echo(f"{segment.reason}: {segment.rows} rows, {segment.kind}, {segment.bytes} bytes{recall}")


def print_collected(found: CollectedFiles) -> None:
    """A line on the files that were deleted."""
    click.echo(
        f"Deleted {len(found.dropped)} dropped, {len(found.abandoned)} abandoned "
        f"and {len(found.stray)} stray files."
    )


@contextmanager
def rows_added(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that is told how many more rows are done."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def rows_done(key: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that is told what is being done, how many rows of it are, and how many there are."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(key, total=None)

        def told_rows(what: str, done: int, total: int) -> None:
            progress.update(bar, description=f"{key}: {what}", completed=done, total=total)

        yield told_rows


@contextmanager
def steps_done(key: str) -> Iterator[Callable[[Step], None]]:
    """A bar that is told what a sealer begins."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(key, total=len(_STEPS))

        def on_step(step: Step) -> None:
            progress.update(bar, description=f"{key}: {step}", completed=_STEPS.index(step) + 1)

        yield on_step


def _print_rows(table: Table, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
        return
    for column in table.columns:
        column.overflow = "fold"
    console = Console()
    # In a pipe or a file a line is as long as its words.
    (console if console.is_terminal else Console(width=_UNCUT)).print(table)


def _without_embedding(record: VectorRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != "embedding"}
