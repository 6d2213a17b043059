"""The commands that send images and ask for tasks, and what the commands of other modules share."""

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from paddlewheel.cli.connection import connected, connection_options
from paddlewheel.cli.console import (
    CONTEXT_SETTINGS,
    end,
    json_lines_option,
    json_option,
    print_json,
    show_error,
)
from paddlewheel.cli.exit_codes import ExitCode, exit_code, exit_code_help
from paddlewheel.cli.inputs import Input, collect
from paddlewheel.cli.page_ranges import page_indices, page_option
from paddlewheel.cli.progress import progress_bar
from paddlewheel.cli.report import Form, Report
from paddlewheel.cli.run import Run, RunSettings
from paddlewheel.cli.server_commands import BATCH, DEAD, KEYS, MODELS
from paddlewheel.client import Client
from paddlewheel.contracts.base import ImageRef, Priority, TaskSpec
from paddlewheel.contracts.text import READ_PAGES, RECOGNIZE_TEXT
from paddlewheel.errors import CallerError, PaddlewheelError
from paddlewheel.wire.result_store import TaskStatus

DEFAULT_TIMEOUT: Final = 600

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SECONDS = click.FloatRange(min=0, min_open=True)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
def main() -> None:
    """Read text, find and identify faces, classify and search pictures, on Paddlewheel's workers.

    Commands store each image once, enqueue tasks, and print the results in the order of the images. An image
    that fails does not stop the others: its error is one line on stderr, 'error[code]: image: message', and
    the exit code says that something failed.

    \b
    Examples:
      paddlewheel read scan.png                      the text of a page
      paddlewheel read invoices/ --json > all.jsonl  a folder, one JSON object a page
      paddlewheel recognize line1.png line2.png      images of one text line each
      paddlewheel recognize lines/ --timings         and where the time went
      paddlewheel classify photos/                   what each picture shows
      paddlewheel gallery build staff portraits/ --kind faces
      paddlewheel faces identify party.jpg --gallery staff
    """


def run_options(command: _Command) -> _Command:
    """The options of every command that sends images."""
    command = connection_options(command)
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


_RUN_OPTIONS: Final = (
    click.argument("paths", metavar="PATH...", nargs=-1, required=True),
    json_lines_option,
    click.option("--table", "as_table", is_flag=True, help="Print a table of texts and scores."),
    click.option("--timings", is_flag=True, help="Print the table with queue, batch and model times."),
    click.option("--save-json", metavar="DIR", type=_FOLDER, help="Save each result as NAME_res.json."),
    click.option(
        "--save-img", metavar="DIR", type=_FOLDER, help="Save each result drawn beside its picture."
    ),
    click.option(
        "--priority",
        type=click.Choice(["interactive", "bulk"]),
        help="Interactive tasks overtake bulk ones. One image is interactive, several are bulk.",
    ),
    click.option(
        "--deadline", metavar="SECONDS", type=_SECONDS, help="Fail a task that no model has seen by then."
    ),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=_SECONDS,
        default=DEFAULT_TIMEOUT,
        show_default=True,
        help="Wait that long in all, then cancel what is left.",
    ),
)


@main.command()
@click.option("--model", metavar="NAME", help="The recognition model; the worker's default unless given.")
@click.option("--detection-model", metavar="NAME", help="The detection model; likewise.")
@click.option(
    "--pages", callback=page_indices, metavar="PAGES", help="Pages of a PDF, such as 1-3,7; all unless given."
)
@click.option(
    "--min-score", metavar="SCORE", type=click.FloatRange(0, 1), help="Drop lines below 0.5, or this."
)
@click.option("--no-orientation", is_flag=True, help="Do not turn lines that stand upside down.")
@run_options
def read(
    model: str | None,
    detection_model: str | None,
    pages: tuple[int, ...] | None,
    min_score: float | None,
    no_orientation: bool,
    **shared: Any,
) -> None:
    """Find and read every line of text on pages.

    PATH is an image, a PDF, a folder (its images and PDFs, and those below it), a blob's address as 'put'
    printed it, or '-' for an image on standard input. The text goes to stdout, the lines in reading order;
    where there is more than one page, each has a heading.

    \b
    Examples:
      paddlewheel read scan.png
      paddlewheel read report.pdf --pages 1-3,7
      curl -s https://example.org/scan.png | paddlewheel read -
      paddlewheel read scans/ --save-img drawn/ --save-json results/
    """
    options = {
        "recognition_model": model,
        "detection_model": detection_model,
        "pages": pages,
        "min_score": min_score,
        "orientation": False if no_orientation else None,
    }
    run_images(READ_PAGES, pdf=True, options=options, **shared)


@main.command()
@click.option("--model", metavar="NAME", help="The recognition model; the worker's default unless given.")
@page_option
@run_options
def recognize(model: str | None, **shared: Any) -> None:
    """Recognize images that hold one line of text each.

    PATH is an image, a folder (its images, and those below it), a blob's address, or '-' for standard input.
    Of one image the text alone is printed; of several, the path, a tab and the text.

    \b
    Examples:
      paddlewheel recognize line.png
      paddlewheel recognize lines/ > texts.tsv
      paddlewheel recognize lines/ --model PP-OCRv4_server_rec --table
      paddlewheel recognize lines/ --json | jq -r .res.rec_text
    """
    run_pictures(RECOGNIZE_TEXT, options={"model": model}, **shared)


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@json_lines_option
@connection_options
def put(paths: tuple[str, ...], as_json: bool, **urls: Any) -> None:
    """Store images without enqueuing anything.

    Prints the blob's address and the path of each, as sha256sum does. The address can be given to 'read'
    and 'recognize', or be sent in a message of your own, until it expires.

    \b
    Examples:
      paddlewheel put scan.png
      paddlewheel put scans/ --json
    """
    worst = ExitCode.DONE
    inputs = collect(paths, pdf=True)
    with connected(**urls) as client:
        for each in inputs:
            try:
                ref = _stored(client, each)
            except CallerError as err:
                worst = max(worst, exit_code(err))
                show_error(err.code, f"{each.name}: {err.message}")
            else:
                click.echo(ref.model_dump_json() if as_json else f"{ref.blob}  {each.name}")
    end(worst)


@main.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@json_lines_option
@connection_options
def status(task_ids: tuple[str, ...], as_json: bool, **urls: Any) -> None:
    """Show where tasks stand.

    They are queued, running, succeeded, failed or cancelled. A task is known from when it is enqueued
    until its result expires.

    \b
    Example:
      paddlewheel status 0d7c6c1e-6f0c-4f0e-9a38-0b6f7e1f3c11
    """

    def show(client: Client, task_id: str) -> None:
        found = client.status(task_id)
        if as_json:
            print_json(_to_json(found))
        else:
            click.echo(_to_text(found))

    _for_each_task(task_ids, show, urls)


@main.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@json_lines_option
@connection_options
def cancel(task_ids: tuple[str, ...], as_json: bool, **urls: Any) -> None:
    """Ask the workers to drop tasks.

    A task that waits is dropped, one that runs is dropped at its next step, and one that has finished stays
    as it is.

    \b
    Example:
      paddlewheel cancel 0d7c6c1e-6f0c-4f0e-9a38-0b6f7e1f3c11
    """

    def drop(client: Client, task_id: str) -> None:
        client.cancel(task_id)
        if as_json:
            print_json({"task_id": task_id, "cancel_requested": True})
        else:
            click.echo(f"{task_id}  asked to cancel")

    _for_each_task(task_ids, drop, urls)


@main.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version of the client."""
    try:
        found = importlib.metadata.version("paddlewheel")
    except importlib.metadata.PackageNotFoundError:
        found = "(a checkout that is not installed)"
    if as_json:
        print_json({"version": found})
    else:
        click.echo(f"paddlewheel {found}")


def run_pictures(
    spec: TaskSpec[Any, Any], *, options: dict[str, Any], page_index: int | None, **shared: Any
) -> None:
    """Run a task that looks at one picture, or at one page of a PDF, over all pictures."""
    options = {**options, "page_index": page_index}
    run_images(spec, pdf=page_index is not None, options=options, **shared)


def run_images(
    spec: TaskSpec[Any, Any],
    *,
    pdf: bool = False,
    options: dict[str, Any],
    paths: Sequence[str],
    as_json: bool,
    as_table: bool,
    timings: bool,
    save_json: Path | None,
    save_img: Path | None,
    priority: Priority | None,
    deadline: float | None,
    timeout: float,
    **urls: Any,
) -> None:
    """Enqueue the images that the paths name, show each result, and end the command."""
    if as_json and (as_table or timings):
        raise click.UsageError(
            "--json goes with neither --table nor --timings: its lines hold the times anyway."
        )
    form: Form = "json" if as_json else "table" if as_table or timings else "text"
    with connected(**urls) as client:
        if save_img is not None:
            from paddlewheel.pictures.fonts import require_pictures

            require_pictures()
        inputs = collect(paths, pdf=pdf)
        report = Report(
            form=form,
            timings=timings,
            named=len(inputs) > 1,
            json_folder=save_json,
            picture_folder=save_img,
        )
        given = {name: value for name, value in options.items() if value is not None}
        settings = RunSettings(priority=priority, deadline=deadline, timeout=timeout, options=given)
        _show(Run(client, spec, inputs, settings), report, len(inputs))
    end(report.exit_code)


def _show(run: Run[Any], report: Report, total: int) -> None:
    try:
        with progress_bar(total) as bar:
            for outcome in run.outcomes(bar.arrived):
                with bar.hidden():
                    report.show(outcome)
        report.finish()
    except KeyboardInterrupt:
        report.finish()
        click.echo(f"Interrupted: {run.cancel()} images cancelled.", err=True)
        end(ExitCode.INTERRUPTED)
    except BaseException:
        # A reader of our pipe that went away is no reason to leave work behind.
        with suppress(PaddlewheelError):
            run.cancel()
        raise


def _stored(client: Client, each: Input) -> ImageRef:
    if isinstance(each.source, PaddlewheelError):
        raise each.source
    if isinstance(each.source, ImageRef):
        return each.source
    return client.put(each.source, name=each.name if isinstance(each.source, bytes) else None)


def _for_each_task(task_ids: Sequence[str], act: Callable[[Client, str], None], urls: dict[str, Any]) -> None:
    worst = ExitCode.DONE
    with connected(**urls) as client:
        for task_id in task_ids:
            try:
                act(client, task_id)
            except CallerError as err:
                worst = max(worst, exit_code(err))
                show_error(err.code, err.message)
    end(worst)


def _to_json(status: TaskStatus) -> dict[str, Any]:
    return {**asdict(status), "error": status.error.model_dump() if status.error else None}


def _to_text(status: TaskStatus) -> str:
    lines = [f"{status.task_id}  {status.state}"]
    if status.name:
        lines.append(f"  task      {status.name}")
    if status.enqueued_at:
        lines.append(f"  enqueued  {status.enqueued_at:%Y-%m-%d %H:%M:%S} UTC")
    if status.error:
        lines.append(f"  error     [{status.error.code}] {status.error.message}")
    return "\n".join(lines)


for _each in (MODELS, DEAD, KEYS, BATCH):
    main.add_command(_each)
