"""How maintenance commands print: tables that a pipe does not cut, sentences, progress bars on stderr."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from index_store.gallery import Gallery, SearchHit, VectorRecord
from index_store.garbage import CollectedFiles
from index_store.sealing import Sealed, Step
from paddlewheel.cli.console import print_json

_STEPS: tuple[Step, ...] = ("announce", "read", "build", "write", "publish", "commit", "done")
_UNCUT = 1_000_000


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


def print_hits(found: Iterable[Sequence[SearchHit]], *, as_json: bool) -> None:
    """A table of all hits, or a JSON object for each query. `query` is the row in the file, from 0."""
    if as_json:
        for query, hits in enumerate(found):
            print_json({"query": query, "hits": [hit._asdict() for hit in hits]})
        return
    table = Table("query", "id", "label", "score", "external id")
    for query, hits in enumerate(found):
        for hit in hits:
            texts = (Text(hit.label), f"{hit.score:.4f}", Text(hit.external_id or ""))
            table.add_row(str(query), str(hit.id), *texts)
    _print_table(table)


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
def append_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that takes how many more rows are done."""
    with _progress() as progress:
        bar = progress.add_task(what, total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def rows_bar(key: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that takes the name of a step, its finished rows, and all its rows."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(*columns) as progress:
        bar = progress.add_task(key, total=None)

        def show_rows(what: str, done: int, total: int) -> None:
            progress.update(bar, description=f"{key}: {what}", completed=done, total=total)

        yield show_rows


@contextmanager
def steps_bar(key: str) -> Iterator[Callable[[Step], None]]:
    """A bar that takes each step that a sealer begins."""
    with _progress() as progress:
        bar = progress.add_task(key, total=len(_STEPS))

        def on_step(step: Step) -> None:
            progress.update(bar, description=f"{key}: {step}", completed=_STEPS.index(step) + 1)

        yield on_step


def _progress(*columns: ProgressColumn) -> Progress:
    """A bar on stderr for people: into a pipe or a file it writes nothing."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print_rows(table: Table, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
    else:
        _print_table(table)


def _print_table(table: Table) -> None:
    for column in table.columns:
        column.overflow = "fold"
    console = Console()
    # In a pipe or a file a line is as long as its words.
    (console if console.is_terminal else Console(width=_UNCUT)).print(table)


def _without_embedding(record: VectorRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != "embedding"}
