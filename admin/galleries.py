"""What an operator does with galleries by hand."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from admin.gallery_console import StoreOptions, told
from admin.gallery_printing import (
    print_collected,
    print_galleries,
    print_json,
    print_sealed,
    print_vectors,
    rows_added,
    rows_done,
    steps_done,
)
from database.migration import migrate as migrate_database
from index_store.erasure import Eraser, read_receipt
from index_store.gallery import GallerySpec
from index_store.log import Selection, new_operation_id
from index_store.maintenance import Maintenance
from index_store.planning import SealingPolicy
from index_store.row_files import append_rows, check_rows, read_embeddings, read_rows
from index_store.sealing import Sealed, Step
from index_store.store import GalleryStore
from index_store.transfer import export_gallery, import_gallery
from paddlewheel.sources.label_list import read_remove_ids

PROBLEMS = 1
"""The exit status where a command was done, and tells of something that is wrong."""
BUSY = 3
"""The exit status where another process is at the gallery."""

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_JSON_LINES = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


@click.group()
@click.option(
    "--database-url",
    envvar="PADDLEWHEEL_DATABASE_URL",
    help="Postgres; in a checkout the one that 'make up' started.",
)
@click.option(
    "--segments",
    envvar="PADDLEWHEEL_SEGMENT_URL",
    help="Folder or fsspec URL of the segment files; in a checkout its .paddlewheel/segments.",
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
    segments: str | None,
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

    \b
    Exit status:
      0  done
      1  the request has to change, or 'verify', 'collect' or 'maintain --once' told of problems
      2  wrong usage, or the service has to be mended
      3  another process is at the gallery: try again later
    """
    policy = SealingPolicy(purge_after=timedelta(hours=purge_hours), grace=timedelta(minutes=grace_minutes))
    context.obj = StoreOptions(database_url, segments, copies, policy)


@gallery.command()
@click.pass_obj
@told
def migrate(opening: StoreOptions) -> None:
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
def create(opening: StoreOptions, /, key: str, **spec: Any) -> None:
    """Make an empty gallery."""
    with opening.rows() as store:
        store.create(key, GallerySpec(**spec))
    click.echo(f"Created {key}.")


@gallery.command("list")
@click.option("--after", default="", help="Show galleries after this key.")
@click.option("--limit", type=int, default=100, show_default=True)
@_JSON_LINES
@click.pass_obj
@told
def list_command(opening: StoreOptions, after: str, limit: int, as_json: bool) -> None:
    """List the galleries in pages."""
    with opening.rows() as store:
        page = store.list_galleries(after=after, limit=limit)
        more = bool(page) and bool(store.list_galleries(after=page[-1].key, limit=1))
    print_galleries(page, as_json=as_json)
    if more:
        click.echo(f"There are more: --after {page[-1].key}", err=True)


@gallery.command()
@click.argument("key")
@click.pass_obj
@told
def describe(opening: StoreOptions, key: str) -> None:
    """Show what a gallery is made of, as JSON."""
    with opening.rows() as store:
        print_json(asdict(store.describe(key)), indent=2)


@gallery.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True, help="Only the vector of this id; may be repeated.")
@click.option("--after", type=int, default=0, help="Show vectors after this id.")
@click.option("--limit", type=int, default=100, show_default=True)
@_JSON_LINES
@click.pass_obj
@told
def vectors(
    opening: StoreOptions, key: str, ids: tuple[int, ...], after: int, limit: int, as_json: bool
) -> None:
    """List vectors in pages: their ids, as 'remove --id' takes them, labels, external ids and metadata."""
    with opening.rows() as store:
        page = store.get(key, ids) if ids else store.list_vectors(key, after=after, limit=limit)
        more = not ids and bool(page) and bool(store.list_vectors(key, after=page[-1].id, limit=1))
    print_vectors(page, as_json=as_json)
    if more:
        click.echo(f"There are more: --after {page[-1].id}", err=True)


@gallery.command()
@click.argument("key")
@click.argument("embeddings", type=_FILE)
@click.argument("labels", type=_FILE)
@click.option("--external-ids", type=_FILE, help="Text, one id of your own a line.")
@click.option("--metadata", type=_FILE, help="JSON lines, an object or null for each embedding.")
@click.option("--model-fingerprint", help="The model that made the embeddings; another is refused.")
@click.option("--operation-id", help="To repeat a broken run without doubling anything.")
@_JSON
@click.pass_obj
@told
def append(
    opening: StoreOptions,
    /,
    key: str,
    model_fingerprint: str | None,
    operation_id: str | None,
    as_json: bool,
    **files: Path,
) -> None:
    """Add EMBEDDINGS (.npy of shape n, dimension) with LABELS (text, one a line).

    Every row is checked before the first is stored; rows are numbered from 0. They are stored in parts: a
    run that breaks is gone on with by the same files and the operation id that it has printed.
    """
    rows = read_rows(**files)
    with opening.rows() as store:
        check_rows(store, key, rows, operation_id, model_fingerprint)
        operation = _operation(operation_id)
        with rows_added(f"append to {key}", len(rows)) as progress:
            ids = append_rows(store, key, rows, operation, model_fingerprint, progress)
    if as_json:
        print_json({"gallery": key, "operation_id": operation, "ids": ids})
    else:
        click.echo(f"Appended {len(rows)} vectors as operation {operation}.")


@gallery.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True)
@click.option("--label", "labels", multiple=True)
@click.option("--external-id", "external_ids", multiple=True)
@click.option("--ids-file", type=_FILE, help="remove_ids.txt: one id a line.")
@click.option(
    "--imported-ids",
    is_flag=True,
    help="The ids of --id and --ids-file are those of the imported folder, not the gallery's.",
)
@click.option("--operation-id", help="To repeat the removal, or to ask for its receipt.")
@click.pass_obj
@told
def remove(
    opening: StoreOptions,
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
        ids = [*ids, *read_remove_ids(ids_file)]
    if imported_ids and not ids:
        raise click.UsageError("--imported-ids says what --id and --ids-file mean: give one of them.")
    if imported_ids:
        external_ids = [*external_ids, *(str(number) for number in ids)]
        ids = ()
    selection = Selection(ids=ids or None, labels=labels or None, external_ids=external_ids or None)
    with opening.store() as store:
        eraser = Eraser(store=store, policy=opening.policy)
        erased = eraser.erase(key, selection, _operation(operation_id))
    print_json(asdict(erased), indent=2)


@gallery.command()
@click.argument("key")
@click.argument("operation_id")
@click.pass_obj
@told
def receipt(opening: StoreOptions, key: str, operation_id: str) -> None:
    """Print the erasure receipt of a removal as it stands now, as JSON."""
    with opening.rows() as store:
        found = read_receipt(store, opening.policy, key, operation_id)
    print_json(asdict(found), indent=2)


@gallery.command()
@click.argument("key")
@click.argument("queries", type=_FILE)
@click.option("--top-k", type=int, default=5, show_default=True)
@click.option("--threshold", type=float)
@click.option("--level", type=click.Choice(["vector", "label"]), default="vector", show_default=True)
@click.option("--model-fingerprint", help="The model that made the queries; another is refused.")
@click.pass_obj
@told
def search(opening: StoreOptions, /, key: str, queries: Path, **options: Any) -> None:
    """Search for QUERIES (.npy of shape n, dimension); one line of JSON each."""
    with opening.store() as store:
        for hits in store.search(key, read_embeddings(queries), details=True, **options):
            print_json([hit._asdict() for hit in hits])


@gallery.command()
@click.argument("key")
@_JSON
@click.pass_obj
@told
def verify(opening: StoreOptions, key: str, as_json: bool) -> None:
    """Compare every file with Postgres; damaged ones are written anew by `seal` or maintenance."""
    with opening.store() as store, rows_done(key) as progress:
        found = store.verify(key, progress=progress)
    for problem in found.problems:
        click.echo(problem, err=True)
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(f"{found.vectors} vectors, {found.segments} segments, {len(found.problems)} problems.")
    if found.problems:
        raise click.exceptions.Exit(PROBLEMS)


@gallery.command()
@click.argument("key")
@_JSON
@click.pass_obj
@told
def seal(opening: StoreOptions, key: str, as_json: bool) -> None:
    """Do now what maintenance would do with this gallery."""
    _seal(opening, key, lambda store, on_step: opening.sealer(store, on_step).run(key), as_json)


@gallery.command()
@click.argument("key")
@_JSON
@click.pass_obj
@told
def compact(opening: StoreOptions, key: str, as_json: bool) -> None:
    """Write the whole gallery anew, as few segments as may be, without any removed vector."""
    policy = opening.policy
    _seal(opening, key, lambda store, on_step: store.compact(key, policy=policy, on_step=on_step), as_json)


@gallery.command()
@click.option("--sweep-unknown", is_flag=True, help="Delete files too that this database does not name.")
@_JSON
@click.pass_obj
@told
def collect(opening: StoreOptions, sweep_unknown: bool, as_json: bool) -> None:
    """Delete the files that nobody needs any more."""
    with opening.store() as store:
        collector = opening.collector(store)
        found = collector.run()
        swept = collector.sweep_unknown() if sweep_unknown else ()
        unknown = collector.unknown_files()
    if as_json:
        print_json({**asdict(found), "swept": swept, "unknown": unknown})
    else:
        print_collected(found)
        click.echo(f"Deleted {len(swept)} unknown files; {len(unknown)} unknown files are left.")
    for failure in found.failures:
        click.echo(failure, err=True)
    if found.failures:
        raise click.exceptions.Exit(PROBLEMS)


@gallery.command()
@click.option("--interval", type=float, default=10, show_default=True, help="Seconds between rounds.")
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print a JSON object a round.")
@click.pass_obj
@told
def maintain(opening: StoreOptions, interval: float, once: bool, as_json: bool) -> None:
    """Seal, compact, purge and collect for all galleries, until interrupted."""
    if as_json and not once:
        raise click.UsageError("--json goes with --once: rounds without an end have no result.")
    with opening.store() as store:
        sealer = opening.sealer(store, lambda step: None)  # noqa: ARG005
        maintenance = Maintenance(store=store, sealer=sealer, collector=opening.collector(store))
        if not once:
            maintenance.run(threading.Event(), interval)
        failed: set[str] = set()
        unfinished = True
        while unfinished:
            done = maintenance.run_once()  # which logs each failure, so on stderr
            unfinished = done.unfinished
            failed.update(done.failures)
            if as_json:
                print_json(asdict(done))
            else:
                print_sealed(done.sealed)
                print_collected(done.collected)
    if failed:
        click.echo(f"{len(failed)} galleries or files failed.", err=True)
        raise click.exceptions.Exit(PROBLEMS)


@gallery.command("export")
@click.argument("key")
@click.argument("folder")
@click.option("--index-type", type=click.Choice(["Flat", "IVF", "HNSW32"]))
@_JSON
@click.pass_obj
@told
def export_command(opening: StoreOptions, key: str, folder: str, index_type: Any, as_json: bool) -> None:
    """Write the gallery as PaddleX's folder, vector.index and id_map.yaml, or to its URL."""
    with opening.rows() as store, rows_done(key) as progress:
        count = export_gallery(store, key, folder, index_type=index_type, progress=progress)
    if as_json:
        print_json({"gallery": key, "folder": folder, "vectors": count})
    else:
        click.echo(f"Exported {count} vectors to {folder}.")


@gallery.command("import")
@click.argument("key")
@click.argument("folder")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option("--index-type", type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]))
@click.option("--model-fingerprint")
@click.option("--operation-id", help="To repeat a broken import without doubling anything.")
@_JSON
@click.pass_obj
@told
def import_command(
    opening: StoreOptions, /, key: str, folder: str, operation_id: str | None, as_json: bool, **options: Any
) -> None:
    """Make a gallery of PaddleX's folder or its URL. Only from where you trust: FAISS reads the file."""
    operation = _operation(operation_id)
    with opening.rows() as store, rows_done(key) as progress:
        imported = import_gallery(store, key, folder, operation_id=operation, progress=progress, **options)
    count = len(imported.appended.ids)
    if as_json:
        found = {"gallery": key, "operation_id": operation, "vectors": count, "repaired": imported.repaired}
        print_json(found)
    else:
        repaired = " Its IVF index had been damaged by a removal and was put right." * imported.repaired
        click.echo(f"Imported {count} vectors.{repaired}")


@gallery.command()
@click.argument("key")
@click.confirmation_option(
    prompt="Delete the gallery with all its vectors, and the receipts of what was erased from it?"
)
@_JSON
@click.pass_obj
@told
def delete(opening: StoreOptions, key: str, as_json: bool) -> None:
    """Delete a gallery, with the receipts of its erasures: keep elsewhere those that are still needed."""
    with opening.rows() as store:
        deleted = store.delete(key)
    if as_json:
        print_json(asdict(deleted))
    else:
        click.echo(f"Deleted {deleted.vectors} vectors; {len(deleted.segments)} files follow.")


def _operation(given: str | None) -> str:
    """The operation's id, told before anything is done where it was not given."""
    if given is not None:
        return given
    operation = new_operation_id()
    click.echo(f"Should this run break, repeat it with --operation-id {operation}", err=True)
    return operation


def _seal(
    opening: StoreOptions,
    key: str,
    work: Callable[[GalleryStore, Callable[[Step], None]], tuple[Sealed, ...] | None],
    as_json: bool,
) -> None:
    with opening.store() as store, steps_done(key) as on_step:
        sealed = work(store, on_step)
    if sealed is None:
        click.echo("Another process is at this gallery: try again later.", err=True)
        raise click.exceptions.Exit(BUSY)
    if as_json:
        print_json([asdict(segment) for segment in sealed])
    else:
        print_sealed(sealed)
        if not sealed:
            click.echo("Nothing to do.")
