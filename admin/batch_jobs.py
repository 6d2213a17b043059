"""Batch jobs by hand: submit one, watch it, stop it, take it up again."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
from pydantic import ValidationError

from admin.batch_printing import described, print_jobs, watched
from admin.job_console import database_option, open_database, told
from job_store.batch_jobs import BatchJobStore
from paddlewheel.contracts.batch_jobs import BATCH_TASKS, BatchStatus, NewBatchJob
from paddlewheel.contracts.checking import explain
from paddlewheel.errors import InvalidRequest

LOOKS: Final = 0.5
"""Seconds between two looks while a job is watched."""

INTERRUPTED: Final = 130

Opened: TypeAlias = Callable[[], BatchJobStore]

_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, one object a job.")
_JOB = click.argument("job_id", metavar="JOB")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@database_option
@click.pass_context
def batch(context: click.Context, database_url: str | None) -> None:
    """Batch jobs: a manifest of addresses in, a result file out, a line an image.

    \b
    Examples:
      paddlewheel batch submit /data/filelist.txt /data/result.txt --watch
      paddlewheel batch submit oss://b/list.txt oss://b/result.txt --task images.classify --option top_k=5
      paddlewheel batch watch 3f2a9c81d0e4b75a
      paddlewheel batch cancel 3f2a9c81d0e4b75a
      paddlewheel batch resume 3f2a9c81d0e4b75a     finished lines are not done again
      paddlewheel batch retry 3f2a9c81d0e4b75a      only the lines that failed
    """

    def opened() -> BatchJobStore:
        return BatchJobStore(open_database(context, database_url))

    context.obj = opened


@batch.command()
@click.argument("manifest")
@click.argument("sink")
@click.option(
    "--task",
    type=click.Choice(sorted(BATCH_TASKS)),
    default="images.classify",
    show_default=True,
    metavar="NAME",
    help="The task that each image is for.",
)
@click.option("--model", metavar="NAME", help="The model; the workers' default unless given.")
@click.option(
    "--option",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A field of the task's request, such as top_k=5.",
)
@click.option("--shard-size", type=click.IntRange(1, 10_000), help="Lines that are one task.")
@click.option("--window", type=click.IntRange(1, 1000), help="Tasks that are under way at a time, at most.")
@click.option("--overwrite", is_flag=True, help="Let the result take the place of a file that is there.")
@click.option("--watch", "watching", is_flag=True, help="Stay until it has ended.")
@_JSON
@click.pass_obj
def submit(
    opened: Opened,
    /,
    manifest: str,
    sink: str,
    model: str | None,
    pairs: tuple[str, ...],
    watching: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Submit a job: the images of MANIFEST into the file SINK.

    Both are addresses as the workers see them, below one of their PADDLEWHEEL_BATCH_ROOTS: a path, file://,
    s3://, oss:// or another URL that fsspec knows.
    """
    with told():
        options = dict(map(_pair, pairs)) | ({"model": model} if model else {})
        try:
            job = NewBatchJob(manifest=_whole(manifest), sink=_whole(sink), options=options, **fields)
        except ValidationError as err:
            raise InvalidRequest(explain(err)) from err
        jobs = opened()
        status = jobs.submit(job)
        if watching:
            click.echo(f"Batch job {status.id}", err=True)
            _watch(jobs, status.id, as_json)
        else:
            _show(
                status,
                as_json,
                f"Batch job {status.id}: watch it with 'paddlewheel batch watch {status.id}'.",
            )


@batch.command()
@_JOB
@_JSON
@click.pass_obj
def status(opened: Opened, job_id: str, as_json: bool) -> None:
    """Show how a job stands."""
    with told():
        found = opened().status(job_id)
        _show(found, as_json, described(found))


@batch.command()
@_JOB
@_JSON
@click.pass_obj
def watch(opened: Opened, job_id: str, as_json: bool) -> None:
    """Watch a job until it has ended; the exit status is 1 if it failed or any of its lines did."""
    with told():
        _watch(opened(), job_id, as_json)


@batch.command()
@_JOB
@_JSON
@click.pass_obj
def cancel(opened: Opened, job_id: str, as_json: bool) -> None:
    """Stop a job; what is done of it is kept for a while."""
    with told():
        found = opened().cancel(job_id)
        _show(found, as_json, f"Batch job {found.id} is {found.state}, with {found.done_lines} lines done.")


@batch.command()
@_JOB
@_JSON
@click.pass_obj
def resume(opened: Opened, job_id: str, as_json: bool) -> None:
    """Go on with a job that was cancelled or has failed; finished lines are not done again."""
    with told():
        found = opened().resume(job_id)
        _show(found, as_json, f"Batch job {found.id} goes on, with {found.done_lines} lines done.")


@batch.command()
@_JOB
@_JSON
@click.pass_obj
def retry(opened: Opened, job_id: str, as_json: bool) -> None:
    """Do the failed lines of a finished job again, and write its result anew."""
    with told():
        found = opened().retry(job_id)
        _show(found, as_json, f"Batch job {found.id} does its failed lines again.")


@batch.command("list")
@click.option(
    "--state",
    type=click.Choice(["planning", "running", "finishing", "succeeded", "failed", "cancelled"]),
    help="Only jobs in this state.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_JSON
@click.pass_obj
def list_command(opened: Opened, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    with told():
        found = opened().page(state=state, limit=limit)
        if as_json:
            for each in found:
                click.echo(each.model_dump_json())
        else:
            print_jobs(found)


def _watch(jobs: BatchJobStore, job_id: str, as_json: bool) -> None:
    def looks() -> Iterator[BatchStatus]:
        while not (found := jobs.status(job_id)).ended:
            yield found
            time.sleep(LOOKS)
        yield found

    try:
        last = watched(looks())
    except KeyboardInterrupt:
        click.echo(f"Batch job {job_id} goes on without you.", err=True)
        click.get_current_context().exit(INTERRUPTED)
    _show(last, as_json, described(last))
    if last.state != "succeeded" or last.failed_lines:
        click.get_current_context().exit(1)


def _show(status: BatchStatus, as_json: bool, text: str) -> None:
    click.echo(status.model_dump_json() if as_json else text)


def _whole(address: str) -> str:
    """A path of this folder as a whole one: the workers have folders of their own."""
    return address if "://" in address else str(Path(address).absolute())


def _pair(pair: str) -> tuple[str, Any]:
    name, separator, value = pair.partition("=")
    if not separator:
        raise InvalidRequest(f"Write an option as NAME=VALUE, which {pair!r} is not.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
