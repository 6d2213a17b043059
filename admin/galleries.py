"""`paddlewheel gallery maintenance`: galleries, embeddings and folders, in the database itself."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from admin.console import database_option
from admin.gallery_printing import append_bar, print_galleries, print_hits, print_vectors, rows_bar
from admin.gallery_stores import StoreOptions
from admin.gallery_upkeep import collect, compact, maintain, seal, verify
from database.migration import migrate as migrate_database
from index_store.erasure import Eraser, read_receipt
from index_store.gallery import GallerySpec
from index_store.operation_log import new_operation_id
from index_store.planning import SealingPolicy
from index_store.row_files import append_rows, check_rows, read_embeddings, read_rows
from index_store.selection import Selection
from index_store.transfer import export_gallery, import_gallery
from paddlewheel.cli.console import (
    CONTEXT_SETTINGS,
    json_lines_option,
    json_option,
    print_json,
    print_object,
    report_errors,
)
from paddlewheel.cli.exit_codes import exit_code_help
from paddlewheel.sources.label_list import read_remove_ids

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_LIMIT = click.option("--limit", type=int, default=100, show_default=True, help="List so many at most.")
_PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp16", "fp32"]),
    default="fp16",
    show_default=True,
    help="How vectors are stored.",
)


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
@database_option
@click.option(
    "--segments",
    metavar="PLACE",
    envvar="PADDLEWHEEL_SEGMENT_URL",
    help="Folder or fsspec URL of the segment files; in a checkout its .paddlewheel/segments. "
    "[env: PADDLEWHEEL_SEGMENT_URL]",
)
@click.option(
    "--copies",
    envvar="PADDLEWHEEL_SEGMENT_COPIES",
    type=click.Path(path_type=Path, file_okay=False),
    help="Local folder for copies of files in an object store. [env: PADDLEWHEEL_SEGMENT_COPIES]",
)
@click.option(
    "--purge-hours",
    type=float,
    default=24,
    show_default=True,
    help="Time until files lose erased vectors.",
)
@click.option(
    "--grace-minutes", type=float, default=10, show_default=True, help="Dropped files are kept for this time."
)
@click.pass_context
def maintenance(
    context: click.Context,
    database_url: str | None,
    segments: str | None,
    copies: Path | None,
    purge_hours: float,
    grace_minutes: float,
) -> None:
    """Maintain galleries in the database and the files, without the queue.

    Embeddings go in and out as .npy files. Postgres has every vector; segment files are rebuilt from it.

    \b
    Examples:
      paddlewheel gallery maintenance migrate                 as workers and the gateway do when they start
      paddlewheel gallery maintenance create staff --dimension 512
      paddlewheel gallery maintenance append staff embeddings.npy labels.txt
      paddlewheel gallery maintenance search staff queries.npy --json
    """
    policy = SealingPolicy(purge_after=timedelta(hours=purge_hours), grace=timedelta(minutes=grace_minutes))
    context.obj = StoreOptions(database_url, segments, copies, policy)


@maintenance.command()
@json_option
@click.pass_obj
@report_errors()
def migrate(options: StoreOptions, as_json: bool) -> None:
    """Bring the tables of galleries and jobs up to date. Safe to run anywhere, at any time."""
    migrate_database(options.url)
    if as_json:
        print_json({"migrated": True})
    else:
        click.echo("The tables are up to date.")


@maintenance.command()
@click.argument("key")
@click.option("--dimension", type=int, required=True, help="The number of floats in an embedding.")
@click.option(
    "--metric",
    type=click.Choice(["IP", "L2"]),
    default="IP",
    show_default=True,
    help="Inner product, or squared L2 distance.",
)
@click.option(
    "--index-type",
    type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]),
    default="auto",
    show_default=True,
    help="The FAISS index of the segments.",
)
@_PRECISION
@click.option("--model-fingerprint", metavar="NAME", help="Refuse embeddings that name another model.")
@json_option
@click.pass_obj
@report_errors()
def create(options: StoreOptions, /, key: str, as_json: bool, **spec: Any) -> None:
    """Make an empty gallery."""
    with options.rows() as store:
        store.create(key, GallerySpec(**spec))
    if as_json:
        print_json({"gallery": key, **spec})
    else:
        click.echo(f"Created {key}.")


@maintenance.command("list")
@click.option("--after", default="", help="Show galleries after this key.")
@_LIMIT
@json_lines_option
@click.pass_obj
@report_errors()
def list_command(options: StoreOptions, after: str, limit: int, as_json: bool) -> None:
    """List the galleries in pages."""
    with options.rows() as store:
        page = store.list_galleries(after=after, limit=limit)
        more = bool(page) and bool(store.list_galleries(after=page[-1].key, limit=1))
    print_galleries(page, as_json=as_json)
    if more:
        click.echo(f"There are more: --after {page[-1].key}", err=True)


@maintenance.command()
@click.argument("key")
@json_option
@click.pass_obj
@report_errors()
def describe(options: StoreOptions, key: str, as_json: bool) -> None:
    """Show a gallery with its segments, as JSON."""
    with options.rows() as store:
        print_object(asdict(store.describe(key)), as_json=as_json)


@maintenance.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True, help="Only the vector of this id; may be repeated.")
@click.option("--after", type=int, default=0, help="Show vectors after this id.")
@_LIMIT
@json_lines_option
@click.pass_obj
@report_errors()
def vectors(
    options: StoreOptions, key: str, ids: tuple[int, ...], after: int, limit: int, as_json: bool
) -> None:
    """List vectors in pages: their ids, as 'remove --id' takes them, labels, external ids and metadata."""
    with options.rows() as store:
        page = store.get(key, ids) if ids else store.list_vectors(key, after=after, limit=limit)
        more = not ids and bool(page) and bool(store.list_vectors(key, after=page[-1].id, limit=1))
    print_vectors(page, as_json=as_json)
    if more:
        click.echo(f"There are more: --after {page[-1].id}", err=True)


@maintenance.command()
@click.argument("key")
@click.argument("embeddings", type=_FILE)
@click.argument("labels", type=_FILE)
@click.option("--external-ids", type=_FILE, help="Text file, one id of your own a line.")
@click.option("--metadata", type=_FILE, help="JSON lines file, an object or null for each embedding.")
@click.option("--model-fingerprint", help="Refuse the embeddings unless the gallery was made by this model.")
@click.option("--operation-id", help="Resume an interrupted run under the id that it printed.")
@json_option
@click.pass_obj
@report_errors()
def append(
    options: StoreOptions,
    /,
    key: str,
    model_fingerprint: str | None,
    operation_id: str | None,
    as_json: bool,
    **files: Path,
) -> None:
    """Add EMBEDDINGS (.npy of shape n, dimension) with LABELS (text, one a line).

    Every row is checked before the first is stored; rows are numbered from 0. They are stored in parts. To
    resume an interrupted run, repeat it with the same files and the operation id that it printed.
    """
    rows = read_rows(**files)
    with options.rows() as store:
        check_rows(store, key, rows, operation_id, model_fingerprint)
        operation = _operation(operation_id)
        with append_bar(f"append to {key}", len(rows)) as progress:
            ids = append_rows(store, key, rows, operation, model_fingerprint, progress)
    if as_json:
        print_json({"gallery": key, "operation_id": operation, "ids": ids})
    else:
        click.echo(f"Appended {len(rows)} vectors as operation {operation}.")


@maintenance.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True, help="A vector's id; may be repeated.")
@click.option("--label", "labels", multiple=True, help="All vectors of a label; may be repeated.")
@click.option("--external-id", "external_ids", multiple=True, help="By your own id; may be repeated.")
@click.option("--ids-file", type=_FILE, help="remove_ids.txt: one id a line.")
@click.option(
    "--imported-ids",
    is_flag=True,
    help="The ids of --id and --ids-file are those of the imported folder, not the gallery's.",
)
@click.option("--operation-id", help="Repeat an interrupted removal, or choose the id of its receipt.")
@json_option
@click.pass_obj
@report_errors()
def remove(
    options: StoreOptions,
    key: str,
    ids: Sequence[int],
    labels: Sequence[str],
    external_ids: Sequence[str],
    ids_file: Path | None,
    imported_ids: bool,
    operation_id: str | None,
    as_json: bool,
) -> None:
    """Remove vectors and print the erasure receipt, as JSON."""
    if ids_file is not None:
        ids = [*ids, *read_remove_ids(ids_file)]
    if imported_ids and not ids:
        raise click.UsageError("--imported-ids changes the meaning of --id and --ids-file: give one of them.")
    if imported_ids:
        external_ids = [*external_ids, *(str(number) for number in ids)]
        ids = ()
    selection = Selection(ids=ids or None, labels=labels or None, external_ids=external_ids or None)
    with options.store() as store:
        eraser = Eraser(store=store, policy=options.policy)
        erased = eraser.erase(key, selection, _operation(operation_id))
    print_object(asdict(erased), as_json=as_json)


@maintenance.command()
@click.argument("key")
@click.argument("operation_id")
@json_option
@click.pass_obj
@report_errors()
def receipt(options: StoreOptions, key: str, operation_id: str, as_json: bool) -> None:
    """Print the erasure receipt of a removal as it stands now, as JSON."""
    with options.rows() as store:
        found = read_receipt(store, options.policy, key, operation_id)
    print_object(asdict(found), as_json=as_json)


@maintenance.command()
@click.argument("key")
@click.argument("queries", type=_FILE)
@click.option("--top-k", type=int, default=5, show_default=True, help="Hits for each query.")
@click.option("--threshold", type=float, help="The lowest score for IP, the largest distance for L2.")
@click.option(
    "--level",
    type=click.Choice(["vector", "label"]),
    default="vector",
    show_default=True,
    help="Whether a hit is a vector, or a label by its best vector.",
)
@click.option("--model-fingerprint", help="Refuse the queries unless the gallery was made by this model.")
@json_lines_option
@click.pass_obj
@report_errors()
def search(options: StoreOptions, /, key: str, queries: Path, as_json: bool, **how: Any) -> None:
    """Search for QUERIES (.npy of shape n, dimension) and print the hits of each."""
    with options.store() as store:
        print_hits(store.search(key, read_embeddings(queries), details=True, **how), as_json=as_json)


@maintenance.command("export")
@click.argument("key")
@click.argument("folder")
@click.option(
    "--index-type",
    type=click.Choice(["Flat", "IVF", "HNSW32"]),
    help="The index in the folder; the gallery's own unless given.",
)
@json_option
@click.pass_obj
@report_errors()
def export_command(options: StoreOptions, key: str, folder: str, index_type: Any, as_json: bool) -> None:
    """Write the gallery as PaddleX's FOLDER, vector.index and id_map.yaml; a path or a URL."""
    with options.rows() as store, rows_bar(key) as progress:
        count = export_gallery(store, key, folder, index_type=index_type, progress=progress)
    if as_json:
        print_json({"gallery": key, "folder": folder, "vectors": count})
    else:
        click.echo(f"Exported {count} vectors to {folder}.")


@maintenance.command("import")
@click.argument("key")
@click.argument("folder")
@_PRECISION
@click.option(
    "--index-type",
    type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]),
    help="The gallery's index; the folder's own unless given.",
)
@click.option("--model-fingerprint", help="The model that made the vectors.")
@click.option("--operation-id", help="Resume an interrupted import under the id that it printed.")
@json_option
@click.pass_obj
@report_errors()
def import_command(
    options: StoreOptions, /, key: str, folder: str, operation_id: str | None, as_json: bool, **how: Any
) -> None:
    """Make a gallery of PaddleX's FOLDER, a path or a URL. Trust its source: FAISS reads the file."""
    operation = _operation(operation_id)
    with options.rows() as store, rows_bar(key) as progress:
        imported = import_gallery(store, key, folder, operation_id=operation, progress=progress, **how)
    count = len(imported.appended.ids)
    if as_json:
        found = {"gallery": key, "operation_id": operation, "vectors": count, "repaired": imported.repaired}
        print_json(found)
    else:
        repaired = " A removal had damaged its IVF index, which is repaired." * imported.repaired
        click.echo(f"Imported {count} vectors.{repaired}")


@maintenance.command()
@click.argument("key")
@click.confirmation_option(
    prompt="Delete the gallery with all its vectors, and the receipts of what was erased from it?"
)
@json_option
@click.pass_obj
@report_errors()
def delete(options: StoreOptions, key: str, as_json: bool) -> None:
    """Delete a gallery, with the receipts of its erasures: keep elsewhere those that are still needed."""
    with options.rows() as store:
        deleted = store.delete(key)
    if as_json:
        print_json(asdict(deleted))
    else:
        click.echo(f"Deleted {deleted.vectors} vectors; {len(deleted.segments)} files follow.")


def _operation(given: str | None) -> str:
    """The operation's id; a new one is printed before anything is done."""
    if given is not None:
        return given
    operation = new_operation_id()
    click.echo(f"If this run is interrupted, repeat it with --operation-id {operation}", err=True)
    return operation


for _command in (verify, seal, compact, collect, maintain):
    maintenance.add_command(_command)
