"""`paddlewheel batch`: submit batch jobs, watch, cancel, resume and retry them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
from pydantic import ValidationError

from admin.batch_printing import print_jobs, show_progress, to_text
from admin.console import database_option, open_database
from job_store.batch_jobs import BatchJobStore
from paddlewheel.cli.console import (
    CONTEXT_SETTINGS,
    end,
    json_lines_option,
    json_option,
    report_errors,
)
from paddlewheel.cli.exit_codes import ExitCode, exit_code_help
from paddlewheel.contracts.batch_jobs import BATCH_TASKS, BatchStatus, NewBatchJob
from paddlewheel.contracts.checking import explain
from paddlewheel.errors import InvalidRequest

POLL_INTERVAL: Final = 0.5
"""Seconds between two looks at a job that is watched."""

OpenStore: TypeAlias = Callable[[], BatchJobStore]

_JOB = click.argument("job_id", metavar="JOB")


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
@database_option
@click.pass_context
def batch(context: click.Context, database_url: str | None) -> None:
    """Run batch jobs: each reads a manifest of addresses and writes a result file, a line for each image.

    \b
    Examples:
      paddlewheel batch submit /data/filelist.txt /data/result.txt --watch
      paddlewheel batch submit oss://b/list.txt oss://b/result.txt --task images.classify --option top_k=5
      paddlewheel batch watch 3f2a9c81d0e4b75a
      paddlewheel batch cancel 3f2a9c81d0e4b75a
      paddlewheel batch resume 3f2a9c81d0e4b75a     skips the finished lines
      paddlewheel batch retry 3f2a9c81d0e4b75a      only the lines that failed
    """

    def open_store() -> BatchJobStore:
        return BatchJobStore(open_database(context, database_url))

    context.obj = open_store


@batch.command()
@click.argument("manifest")
@click.argument("sink")
@click.option(
    "--task",
    type=click.Choice(sorted(BATCH_TASKS)),
    default="images.classify",
    show_default=True,
    metavar="NAME",
    help="The task to run on each image.",
)
@click.option("--model", metavar="NAME", help="The model; the workers' default unless given.")
@click.option(
    "--option",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A field of the task's request, such as top_k=5.",
)
@click.option("--shard-size", type=click.IntRange(1, 10_000), help="The number of lines in one task.")
@click.option("--window", type=click.IntRange(1, 1000), help="The most tasks that run at a time.")
@click.option("--overwrite", is_flag=True, help="Replace a result file that exists.")
@click.option("--watch", "watching", is_flag=True, help="Wait until the job has ended.")
@json_option
@click.pass_obj
@report_errors()
def submit(
    open_store: OpenStore,
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
    s3://, oss:// or another URL that fsspec can open.
    """
    options = dict(map(_option, pairs)) | ({"model": model} if model else {})
    try:
        job = NewBatchJob(manifest=_absolute(manifest), sink=_absolute(sink), options=options, **fields)
    except ValidationError as err:
        raise InvalidRequest(explain(err)) from err
    jobs = open_store()
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
@json_option
@click.pass_obj
@report_errors()
def status(open_store: OpenStore, job_id: str, as_json: bool) -> None:
    """Show a job: its state, its lines, its rate and the remaining time."""
    found = open_store().status(job_id)
    _show(found, as_json, to_text(found))


@batch.command()
@_JOB
@json_option
@click.pass_obj
@report_errors()
def watch(open_store: OpenStore, job_id: str, as_json: bool) -> None:
    """Watch a job until it has ended. The exit code is 1 if the job or any of its lines failed."""
    _watch(open_store(), job_id, as_json)


@batch.command()
@_JOB
@json_option
@click.pass_obj
@report_errors()
def cancel(open_store: OpenStore, job_id: str, as_json: bool) -> None:
    """Stop a job. Its finished lines are kept for a while, for `resume`."""
    found = open_store().cancel(job_id)
    _show(found, as_json, f"Batch job {found.id} is {found.state}, with {found.done_lines} lines done.")


@batch.command()
@_JOB
@json_option
@click.pass_obj
@report_errors()
def resume(open_store: OpenStore, job_id: str, as_json: bool) -> None:
    """Continue a job that was cancelled or has failed. Finished lines are not done again."""
    found = open_store().resume(job_id)
    _show(found, as_json, f"Batch job {found.id} continues, with {found.done_lines} lines done.")


@batch.command()
@_JOB
@json_option
@click.pass_obj
@report_errors()
def retry(open_store: OpenStore, job_id: str, as_json: bool) -> None:
    """Run the failed lines of a finished job again, and write its result again."""
    found = open_store().retry(job_id)
    _show(found, as_json, f"Batch job {found.id} runs its failed lines again.")


@batch.command("list")
@click.option(
    "--state",
    type=click.Choice(["planning", "running", "finishing", "succeeded", "failed", "cancelled"]),
    help="Only jobs in this state.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="List so many at most."
)
@json_lines_option
@click.pass_obj
@report_errors()
def list_command(open_store: OpenStore, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    found = open_store().page(state=state, limit=limit)
    if as_json:
        for each in found:
            click.echo(each.model_dump_json())
    else:
        print_jobs(found)


def _watch(jobs: BatchJobStore, job_id: str, as_json: bool) -> None:
    def poll() -> Iterator[BatchStatus]:
        while not (found := jobs.status(job_id)).ended:
            yield found
            time.sleep(POLL_INTERVAL)
        yield found

    try:
        last = show_progress(poll())
    except KeyboardInterrupt:
        click.echo(f"Batch job {job_id} still runs: nothing watches it now.", err=True)
        end(ExitCode.INTERRUPTED)
    _show(last, as_json, to_text(last))
    if last.state != "succeeded" or last.failed_lines:
        end(ExitCode.FAILED)


def _show(status: BatchStatus, as_json: bool, text: str) -> None:
    click.echo(status.model_dump_json() if as_json else text)


def _absolute(address: str) -> str:
    """A path, made absolute: workers run in other folders."""
    return address if "://" in address else str(Path(address).absolute())


def _option(pair: str) -> tuple[str, Any]:
    name, separator, value = pair.partition("=")
    if not separator:
        raise InvalidRequest(f"Write an option as NAME=VALUE, not {pair!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
