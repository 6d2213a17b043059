"""What an operator does with galleries by hand."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from api_client.addresses import local_connection
from api_client.errors import InvalidRequest, LabelListInvalid
from api_client.label_list import read_remove_ids
from index_store.console import Opening, told
from index_store.erasure import Eraser, ErasureReceipt
from index_store.gallery import GallerySpec
from index_store.log import Selection, new_operation_id
from index_store.maintenance import Maintenance
from index_store.migration import migrate as migrate_database
from index_store.planning import SealingPolicy
from index_store.sealing import Sealed, Step
from index_store.store import GalleryStore

_STEPS: tuple[Step, ...] = ("announce", "read", "build", "write", "publish", "commit", "done")
_APPEND_ROWS = 10_000


@click.group()
@click.option(
    "--database-url",
    envvar="PADDLEWHEEL_DATABASE_URL",
    help="Postgres; in a checkout the one that 'make up' started.",
)
@click.option(
    "--segments",
    envvar="PADDLEWHEEL_SEGMENT_URL",
    default=".paddlewheel/segments",
    show_default=True,
    help="Folder or fsspec URL of the segment files.",
)
@click.option(
    "--copies",
    envvar="PADDLEWHEEL_SEGMENT_COPIES",
    type=click.Path(path_type=Path, file_okay=False),
    help="Local folder for copies of files in an object store.",
)
@click.option("--purge-hours", type=float, default=24, show_default=True, help="Erased by then, plus grace.")
@click.option(
    "--grace-minutes", type=float, default=10, show_default=True, help="Dropped files live so long."
)
@click.pass_context
def gallery(
    context: click.Context,
    database_url: str | None,
    segments: str,
    copies: Path | None,
    purge_hours: float,
    grace_minutes: float,
) -> None:
    """Galleries of embeddings: Postgres is the truth, segment files are rebuilt from it.

    \b
    Examples:
      paddlewheel gallery migrate                                as workers and the gateway do when they start
      paddlewheel gallery create staff --dimension 512
      paddlewheel gallery append staff embeddings.npy labels.txt
      paddlewheel gallery search staff queries.npy
    """
    policy = SealingPolicy(purge_after=timedelta(hours=purge_hours), grace=timedelta(minutes=grace_minutes))
    url = database_url or local_connection(Path.cwd()).get("database_url")
    context.obj = Opening(url, segments, copies, policy)


@gallery.command()
@click.pass_obj
@told
def migrate(opening: Opening) -> None:
    """Bring the tables up to date; safe to run anywhere at any time."""
    migrate_database(opening.url)
    click.echo("The tables are up to date.")


@gallery.command()
@click.argument("key")
@click.option("--dimension", type=int, required=True)
@click.option("--metric", type=click.Choice(["IP", "L2"]), default="IP", show_default=True)
@click.option(
    "--index-type",
    type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]),
    default="auto",
    show_default=True,
)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option("--model-fingerprint", help="Refuse embeddings that name another model.")
@click.pass_obj
@told
def create(opening: Opening, /, key: str, **spec: Any) -> None:
    """Make an empty gallery."""
    with opening.store() as store:
        store.create(key, GallerySpec(**spec))
    click.echo(f"Created {key}.")


@gallery.command("list")
@click.option("--after", default="", help="Show galleries after this key.")
@click.option("--limit", type=int, default=100, show_default=True)
@click.pass_obj
@told
def list_command(opening: Opening, after: str, limit: int) -> None:
    """List the galleries in pages."""
    table = Table("key", "vectors", "dimension", "metric", "index type", "generation")
    with opening.store() as store:
        for found in store.list_galleries(after=after, limit=limit):
            spec = found.spec
            cells = (found.live, spec.dimension, spec.metric, spec.index_type, found.generation)
            table.add_row(found.key, *(str(cell) for cell in cells))
    opening.console.print(table)


@gallery.command()
@click.argument("key")
@click.pass_obj
@told
def describe(opening: Opening, key: str) -> None:
    """Show what a gallery is made of, as JSON."""
    with opening.store() as store:
        _print_json(asdict(store.describe(key)))


@gallery.command()
@click.argument("key")
@click.argument("embeddings", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--operation-id", help="To repeat a broken run without doubling anything.")
@click.pass_obj
@told
def append(opening: Opening, key: str, embeddings: Path, labels: Path, operation_id: str | None) -> None:
    """Add EMBEDDINGS (.npy of shape n, dimension) with LABELS (text, one a line)."""
    rows = _load_embeddings(embeddings)
    names = labels.read_text(encoding="utf-8").splitlines()
    if len(names) != len(rows):
        raise LabelListInvalid(f"{labels.name} has {len(names)} lines for {len(rows)} embeddings.")
    operation = operation_id or new_operation_id()
    with opening.store() as store, _progress(opening, f"append to {key}", len(rows)) as advance:
        for start in range(0, len(rows), _APPEND_ROWS):
            part = slice(start, start + _APPEND_ROWS)
            store.append(key, rows[part], names[part], operation_id=f"{operation}/{start}")
            advance(len(rows[part]))
    click.echo(f"Appended {len(rows)} vectors as operation {operation}.")


@gallery.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True)
@click.option("--label", "labels", multiple=True)
@click.option("--external-id", "external_ids", multiple=True)
@click.option(
    "--ids-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="remove_ids.txt: one id a line.",
)
@click.option("--imported-ids", is_flag=True, help="The file's ids are those of the imported folder.")
@click.option("--operation-id", help="To repeat the removal, or to ask for its receipt.")
@click.pass_obj
@told
def remove(
    opening: Opening,
    key: str,
    ids: Sequence[int],
    labels: Sequence[str],
    external_ids: Sequence[str],
    ids_file: Path | None,
    imported_ids: bool,
    operation_id: str | None,
) -> None:
    """Remove vectors and print the erasure receipt, as JSON."""
    if ids_file is not None:
        listed = read_remove_ids(ids_file)
        if imported_ids:
            external_ids = [*external_ids, *(str(number) for number in listed)]
        else:
            ids = [*ids, *listed]
    selection = Selection(ids=ids or None, labels=labels or None, external_ids=external_ids or None)
    with opening.store() as store:
        eraser = Eraser(store=store, policy=opening.policy)
        _print_receipt(eraser.erase(key, selection, operation_id or new_operation_id()))


@gallery.command()
@click.argument("key")
@click.argument("operation_id")
@click.pass_obj
@told
def receipt(opening: Opening, key: str, operation_id: str) -> None:
    """Print the erasure receipt of a removal as it stands now, as JSON."""
    with opening.store() as store:
        _print_receipt(Eraser(store=store, policy=opening.policy).receipt(key, operation_id))


@gallery.command()
@click.argument("key")
@click.argument("queries", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--top-k", type=int, default=5, show_default=True)
@click.option("--threshold", type=float)
@click.option("--level", type=click.Choice(["vector", "label"]), default="vector", show_default=True)
@click.pass_obj
@told
def search(opening: Opening, /, key: str, queries: Path, **options: Any) -> None:
    """Search for QUERIES (.npy of shape n, dimension); one line of JSON each."""
    with opening.store() as store:
        for hits in store.search(key, _load_embeddings(queries), details=True, **options):
            click.echo(json.dumps([hit._asdict() for hit in hits], ensure_ascii=False))


@gallery.command()
@click.argument("key")
@click.pass_obj
@told
def verify(opening: Opening, key: str) -> None:
    """Compare every file with Postgres; damaged ones are written anew by `seal` or maintenance."""
    with opening.store() as store, _rows_done(opening, key) as progress:
        found = store.verify(key, progress=progress)
    for problem in found.problems:
        click.echo(problem, err=True)
    click.echo(f"{found.vectors} vectors, {found.segments} segments, {len(found.problems)} problems.")
    if found.problems:
        raise click.exceptions.Exit(2)


@gallery.command()
@click.argument("key")
@click.pass_obj
@told
def seal(opening: Opening, key: str) -> None:
    """Do now what maintenance would do with this gallery."""
    _seal(opening, key, lambda store, on_step: opening.sealer(store, on_step).run(key))


@gallery.command()
@click.argument("key")
@click.pass_obj
@told
def compact(opening: Opening, key: str) -> None:
    """Write the whole gallery anew, as few segments as may be, without any removed vector."""
    _seal(opening, key, lambda store, on_step: store.compact(key, policy=opening.policy, on_step=on_step))


@gallery.command()
@click.option("--sweep-unknown", is_flag=True, help="Delete files too that this database does not name.")
@click.pass_obj
@told
def collect(opening: Opening, sweep_unknown: bool) -> None:
    """Delete the files that nobody needs any more."""
    with opening.store() as store:
        collector = opening.collector(store)
        found = collector.run()
        swept = collector.sweep_unknown() if sweep_unknown else ()
        unknown = collector.unknown_files()
    click.echo(
        f"Deleted {len(found.dropped)} dropped, {len(found.abandoned)} abandoned, {len(found.stray)} stray "
        f"and {len(swept)} unknown files; {len(unknown)} unknown files are left."
    )


@gallery.command()
@click.option("--interval", type=float, default=10, show_default=True, help="Seconds between rounds.")
@click.option("--once", is_flag=True, help="One round only.")
@click.pass_obj
@told
def maintain(opening: Opening, interval: float, once: bool) -> None:
    """Seal, compact, purge and collect for all galleries, until interrupted."""
    with opening.store() as store:
        sealer = opening.sealer(store, lambda step: None)  # noqa: ARG005
        maintenance = Maintenance(store=store, sealer=sealer, collector=opening.collector(store))
        if not once:
            maintenance.run(threading.Event(), interval)
        sealed, _ = maintenance.run_once()
    _print_sealed(sealed)


@gallery.command("export")
@click.argument("key")
@click.argument("folder")
@click.option("--index-type", type=click.Choice(["Flat", "IVF", "HNSW32"]))
@click.pass_obj
@told
def export_command(opening: Opening, key: str, folder: str, index_type: Any) -> None:
    """Write the gallery as PaddleX's folder, vector.index and id_map.yaml, or to its URL."""
    with opening.store() as store, _rows_done(opening, key) as progress:
        count = store.export_to(key, folder, index_type=index_type, progress=progress)
    click.echo(f"Exported {count} vectors to {folder}.")


@gallery.command("import")
@click.argument("key")
@click.argument("folder")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option("--index-type", type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]))
@click.option("--model-fingerprint")
@click.option("--operation-id", help="To repeat a broken import without doubling anything.")
@click.pass_obj
@told
def import_command(opening: Opening, /, key: str, folder: str, **options: Any) -> None:
    """Make a gallery of PaddleX's folder or its URL. Only from where you trust: FAISS reads the file."""
    with opening.store() as store, _rows_done(opening, key) as progress:
        imported = store.import_from(key, folder, progress=progress, **options)
    repaired = " Its IVF index had been damaged by a removal and was put right." * imported.repaired
    click.echo(f"Imported {len(imported.appended.ids)} vectors.{repaired}")


@gallery.command()
@click.argument("key")
@click.confirmation_option(prompt="Delete the gallery with all its vectors?")
@click.pass_obj
@told
def delete(opening: Opening, key: str) -> None:
    """Delete a gallery."""
    with opening.store() as store:
        deleted = store.delete(key)
    click.echo(f"Deleted {deleted.vectors} vectors; {len(deleted.segments)} files follow.")


def _seal(
    opening: Opening,
    key: str,
    work: Callable[[GalleryStore, Callable[[Step], None]], tuple[Sealed, ...] | None],
) -> None:
    with opening.store() as store, Progress(console=opening.console, transient=True) as progress:
        bar = progress.add_task(key, total=len(_STEPS))

        def on_step(step: Step) -> None:
            progress.update(bar, description=f"{key}: {step}", completed=_STEPS.index(step) + 1)

        sealed = work(store, on_step)
    if sealed is None:
        click.echo("Another process is at this gallery.")
    else:
        _print_sealed(sealed)


def _print_sealed(sealed: Sequence[Sealed]) -> None:
    for segment in sealed:
        recall = "" if segment.recall is None else f", recall {segment.recall:.4f}"
        click.echo(f"{segment.reason}: {segment.rows} rows, {segment.kind}, {segment.bytes} bytes{recall}")
    if not sealed:
        click.echo("Nothing to do.")


@contextmanager
def _progress(opening: Opening, what: str, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=opening.console, transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def _rows_done(opening: Opening, key: str) -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=opening.console, transient=True) as progress:
        bar = progress.add_task(key, total=None)

        def told_rows(what: str, done: int, total: int) -> None:
            progress.update(bar, description=f"{key}: {what}", completed=done, total=total)

        yield told_rows


def _load_embeddings(path: Path) -> Any:
    try:
        return cast(Any, np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as err:
        raise InvalidRequest(f"{path} is not an .npy file of numbers.") from err


def _print_receipt(found: ErasureReceipt) -> None:
    _print_json(asdict(found))


def _print_json(value: Any) -> None:
    def plain(other: object) -> object:
        return other.isoformat() if isinstance(other, datetime) else str(other)

    click.echo(json.dumps(value, default=plain, ensure_ascii=False, indent=2))
