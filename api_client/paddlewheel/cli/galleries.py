"""`paddlewheel gallery`: galleries of faces and of images, through the queue.

The operators' commands on the database and the files are `paddlewheel gallery maintenance`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from paddlewheel.cli.commands import DEFAULT_TIMEOUT, main, run_options, run_pictures
from paddlewheel.cli.connection import connected, connection_options
from paddlewheel.cli.console import (
    end,
    json_lines_option,
    json_option,
    print_json,
    print_object,
    report_errors,
    show_error,
)
from paddlewheel.cli.exit_codes import ExitCode, exit_code, exit_code_help
from paddlewheel.cli.page_ranges import page_option
from paddlewheel.cli.pictures import DETECTION_MODEL, MIN_SCORE, search_fields, search_options
from paddlewheel.cli.progress import progress_bar
from paddlewheel.cli.server_commands import MAINTENANCE
from paddlewheel.contracts.base import Request, TaskSpec
from paddlewheel.contracts.checking import check_fields
from paddlewheel.contracts.faces import IDENTIFY_FACES
from paddlewheel.contracts.galleries import (
    DELETE_GALLERY,
    DESCRIBE_GALLERY,
    EXPORT_GALLERY,
    IMPORT_GALLERY,
    REMOVE_GALLERY,
    DeleteGallery,
    DescribeGallery,
    ExportGallery,
    ImageOutcome,
    ImportGallery,
    RemoveGallery,
)
from paddlewheel.contracts.images import SEARCH_IMAGE
from paddlewheel.errors import LabelListInvalid, error_from
from paddlewheel.gallery_building import (
    GalleryReport,
    Labelled,
    append_gallery,
    build_gallery,
    labelled_images,
)
from paddlewheel.sources.images import expand, is_folder
from paddlewheel.sources.label_list import read_remove_ids

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPERATION = click.option(
    "--operation-id", metavar="ID", help="Repeat an interrupted run under its id: nothing is stored twice."
)


@main.group(epilog=exit_code_help())
def gallery() -> None:
    """Build, search and change galleries of faces and of pictures, through the queue.

    A gallery of faces is searched by the faces in a picture, one of images by the whole picture. It remembers
    the model that made it. Operators' commands on the database are below 'maintenance'.

    \b
    Examples:
      paddlewheel gallery build staff portraits/ --kind faces    portraits/gallery.txt has the labels
      paddlewheel gallery append staff ann.jpg --label "Ann Lee"
      paddlewheel gallery search staff party.jpg --save-img drawn/
    """


def _adding(command: Any) -> Any:
    """The options of `build` and `append`."""
    options = (
        click.argument("paths", metavar="PATH...", nargs=-1, required=True),
        click.option("--label", metavar="LABEL", help="The label of all these images."),
        click.option(
            "--labels",
            "labels_file",
            metavar="FILE",
            type=_FILE,
            help="A folder's list of 'image label' lines; its gallery.txt unless given.",
        ),
        click.option(
            "--several-faces",
            type=click.Choice(["reject", "largest", "all"]),
            help="What to do with a picture of several faces; 'reject' unless given.",
        ),
        DETECTION_MODEL,
        MIN_SCORE,
        _OPERATION,
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            default=DEFAULT_TIMEOUT,
            show_default=True,
            help="Wait that long for one step of the images.",
        ),
        json_lines_option,
        connection_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


@gallery.command()
@click.argument("key")
@click.option(
    "--kind",
    type=click.Choice(["faces", "images"]),
    required=True,
    help="Whether an image stands for the face in it or for itself.",
)
@click.option("--model", metavar="NAME", help="The model that embeds; the worker's default unless given.")
@click.option("--metric", type=click.Choice(["IP", "L2"]), help="IP unless given.")
@click.option("--index-type", type=click.Choice(["auto", "Flat", "IVF", "HNSW32"]), help="auto unless given.")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), help="fp16 unless given.")
@_adding
def build(key: str, **given: Any) -> None:
    """Make a gallery of labelled images.

    PATH is a folder with a gallery.txt, or with --labels another list of 'path label' lines, as PaddleX
    takes them; or, with --label, any images and folders. An image without a face, or with several, is
    reported and left out; the others go in.

    \b
    Examples:
      paddlewheel gallery build staff portraits/ --kind faces --several-faces largest
      paddlewheel gallery build drinks bottles/ --kind images --labels bottles/train.txt
    """
    _add(key, given, new=True)


@gallery.command()
@click.argument("key")
@_adding
def append(key: str, **given: Any) -> None:
    """Add labelled images to a gallery; PATH as for 'build'. An image that it has already is not added twice.

    \b
    Examples:
      paddlewheel gallery append staff ann.jpg --label "Ann Lee"
      paddlewheel gallery append staff new-portraits/
    """
    _add(key, given, new=False)


@gallery.command()
@click.argument("key")
@DETECTION_MODEL
@MIN_SCORE
@search_options
@page_option
@run_options
def search(key: str, detection_model: str | None, min_score: float | None, **shared: Any) -> None:
    """Search a gallery for the faces in pictures, or for pictures that are alike, as its kind is.

    \b
    Examples:
      paddlewheel gallery search staff party.jpg --save-img drawn/
      paddlewheel gallery search drinks shelf.jpg --top-k 3 --json
    """
    urls = {name: shared[name] for name in ("broker_url", "result_url", "blob_url")}
    with connected(**urls) as client:
        found = client.enqueue(DESCRIBE_GALLERY, DescribeGallery(gallery=key)).result(shared["timeout"])
    options = {"gallery": key, **search_fields(shared)}
    if found.kind == "images":
        run_pictures(SEARCH_IMAGE, options=options, **shared)
    else:
        options |= {"detection_model": detection_model, "min_score": min_score}
        run_pictures(IDENTIFY_FACES, options=options, **shared)


@gallery.command()
@click.argument("key")
@click.option("--id", "ids", type=int, multiple=True, help="A vector's id; may be repeated.")
@click.option("--label", "labels", multiple=True, help="All vectors of a label; may be repeated.")
@click.option("--external-id", "external_ids", multiple=True, help="By your own id; may be repeated.")
@click.option("--ids-file", type=_FILE, help="remove_ids.txt: one id a line.")
@_OPERATION
@json_option
@connection_options
def remove(
    key: str,
    ids: tuple[int, ...],
    labels: tuple[str, ...],
    external_ids: tuple[str, ...],
    ids_file: Path | None,
    operation_id: str | None,
    as_json: bool,
    **urls: Any,
) -> None:
    """Take vectors out of a gallery and print the receipt, as JSON.

    \b
    Example:
      paddlewheel gallery remove staff --label "Ann Lee"
    """
    with report_errors():
        listed = read_remove_ids(ids_file) if ids_file else ()
    fields = {
        "gallery": key,
        "operation_id": operation_id,
        "ids": (*ids, *listed) or None,
        "labels": labels or None,
        "external_ids": external_ids or None,
    }
    _ask(REMOVE_GALLERY, RemoveGallery, fields, urls, as_json=as_json)


@gallery.command()
@click.argument("key")
@json_option
@connection_options
def describe(key: str, as_json: bool, **urls: Any) -> None:
    """Show what a gallery is made of, as JSON."""
    _ask(DESCRIBE_GALLERY, DescribeGallery, {"gallery": key}, urls, as_json=as_json)


@gallery.command()
@click.argument("key")
@click.confirmation_option(
    prompt="Delete the gallery with all its vectors, and the receipts of what was erased from it?"
)
@json_option
@connection_options
def delete(key: str, as_json: bool, **urls: Any) -> None:
    """Delete a gallery, with the receipts of its erasures: keep elsewhere those that are still needed."""
    _ask(DELETE_GALLERY, DeleteGallery, {"gallery": key}, urls, as_json=as_json)


@gallery.command()
@click.argument("key")
@click.option(
    "--index-type",
    type=click.Choice(["Flat", "IVF", "HNSW32"]),
    help="The index in the folder; the gallery's own unless given.",
)
@_OPERATION
@json_option
@connection_options
def export(key: str, index_type: str | None, operation_id: str | None, as_json: bool, **urls: Any) -> None:
    """Write a gallery as PaddleX's folder into the workers' exchange folder, and print its name."""
    fields = {"gallery": key, "index_type": index_type, "operation_id": operation_id}
    _ask(EXPORT_GALLERY, ExportGallery, fields, urls, as_json=as_json)


@gallery.command("import")
@click.argument("key")
@click.argument("folder")
@click.option(
    "--kind", type=click.Choice(["faces", "images"]), help="What images stand for, so that more can be added."
)
@click.option("--model", metavar="NAME", help="The model that made the vectors.")
@DETECTION_MODEL
@click.option(
    "--precision",
    type=click.Choice(["fp16", "fp32"]),
    default="fp16",
    show_default=True,
    help="How the gallery stores its vectors.",
)
@_OPERATION
@json_option
@connection_options
def import_(key: str, folder: str, as_json: bool, **given: Any) -> None:
    """Make a gallery of PaddleX's FOLDER in the workers' exchange folder.

    \b
    Example:
      paddlewheel gallery import staff face_index --kind faces --model MobileFaceNet
    """
    urls = {name: given.pop(name) for name in ("broker_url", "result_url", "blob_url")}
    fields = {"gallery": key, "folder": folder, **given}
    _ask(IMPORT_GALLERY, ImportGallery, fields, urls, as_json=as_json)


def _ask(
    spec: TaskSpec[Any, Any],
    contract: type[Request],
    fields: dict[str, Any],
    urls: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    with connected(**urls) as client:
        answer = client.enqueue(spec, check_fields(contract, fields)).result(DEFAULT_TIMEOUT)
        print_object(answer.model_dump(mode="json"), as_json=as_json)


def _add(key: str, given: dict[str, Any], *, new: bool) -> None:
    urls = {name: given.pop(name) for name in ("broker_url", "result_url", "blob_url")}
    paths, label, file = given.pop("paths"), given.pop("label"), given.pop("labels_file")
    as_json = given.pop("as_json")
    options = {name: value for name, value in given.items() if value is not None}
    with connected(**urls) as client:
        images = _images(paths, label, file)
        with progress_bar(len(images)) as bar:
            work = build_gallery if new else append_gallery
            report = work(client, key, images, on_progress=lambda done, _: bar.arrived(done), **options)
        worst = _show_report(report, as_json=as_json)
    end(worst)


def _images(paths: Sequence[str], label: str | None, file: Path | None) -> list[Labelled]:
    if label is not None:
        if file is not None:
            raise click.UsageError("Give either --label or --labels.")
        return [(image, label) for image in expand(list(paths))]
    if len(paths) == 1 and (is_folder(paths[0]) or not os.path.lexists(paths[0])):
        return labelled_images(paths[0], file)
    raise LabelListInvalid("Give one folder with its gallery.txt or --labels, or images with their --label.")


def _show_report(report: GalleryReport, *, as_json: bool) -> ExitCode:
    """Report every image; the highest exit code of those that are not in the gallery."""
    missing = [each for each in report.outcomes if each.status not in ("indexed", "duplicate")]
    if as_json:
        for outcome in report.outcomes:
            print_json(outcome.model_dump(mode="json"))
    else:
        counts = report.counts
        known = f", {counts['duplicate']} were there already" if "duplicate" in counts else ""
        click.echo(
            f"{counts.get('indexed', 0)} of {len(report.outcomes)} images are in {report.gallery} as "
            f"{len(report.id_map)} vectors{known}; operation {report.operation_id}."
        )
    return max(map(_show_missing, missing), default=ExitCode.DONE)


def _show_missing(outcome: ImageOutcome) -> ExitCode:
    if outcome.error is None:
        return ExitCode.FAILED
    name = outcome.input_path or outcome.label
    show_error(outcome.error.code, f"{name}: {outcome.error.message}")
    return exit_code(error_from(outcome.error.code, outcome.error.message))


gallery.add_command(MAINTENANCE)
