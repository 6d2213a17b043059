"""Batch jobs as text for a terminal: lines, a table, a progress bar."""

import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta

from paddlewheel.contracts.batch_jobs import BatchStatus


def to_text(job: BatchStatus) -> str:
    """One job in a few lines."""
    rows = [
        ("state", job.state),
        ("task", " ".join([job.task, *(f"{name}={value}" for name, value in job.options.items())])),
        ("manifest", job.manifest),
        ("sink", job.sink),
        ("lines", _lines(job)),
    ]
    if job.redone_lines:
        rows.append(("repeated", f"{job.redone_lines} lines, whose worker was lost"))
    if job.rate is not None and job.remaining_seconds is not None:
        rows.append(("rate", f"{job.rate:.1f} lines/s, {_time(job.remaining_seconds)} left"))
    rows.append(("submitted", f"{job.created_at:%Y-%m-%d %H:%M:%S}"))
    if job.finished_at:
        taken = job.finished_at - (job.planned_at or job.created_at)
        rows.append(("ended", f"{job.finished_at:%Y-%m-%d %H:%M:%S}, after {_time(taken.total_seconds())}"))
    if job.error_code:
        rows.append(("error", f"[{job.error_code}] {job.error_message}"))
    return "\n".join([f"Batch job {job.id}", *(f"  {name:12} {value}" for name, value in rows)])


def print_jobs(jobs: Sequence[BatchStatus]) -> None:
    """A table of jobs on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("JOB", "STATE", "TASK", "LINES", "SINK"):
        table.add_column(name, overflow="fold", no_wrap=name == "JOB")
    for job in jobs:
        table.add_row(job.id, job.state, job.task, _lines(job), job.sink)
    Console().print(table)


def show_progress(statuses: Iterable[BatchStatus]) -> BatchStatus:
    """Show each status as a bar on stderr if that is a terminal; the last status."""
    if not sys.stderr.isatty():
        return _last(statuses)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.fields[state]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("", total=None, state="planning", pace="")

        def move_bar() -> Iterable[BatchStatus]:
            for job in statuses:
                bar.update(shown, total=job.lines, completed=job.done_lines, state=job.state, pace=pace(job))
                yield job

        return _last(move_bar())


def pace(job: BatchStatus) -> str:
    """Rate, remaining time and failed lines in a few words."""
    words = []
    if job.rate is not None and job.remaining_seconds is not None:
        words += [f"{job.rate:.0f} lines/s", f"{_time(job.remaining_seconds)} left"]
    if job.failed_lines:
        words.append(f"{job.failed_lines} failed")
    return ", ".join(words)


def _last(statuses: Iterable[BatchStatus]) -> BatchStatus:
    for job in statuses:
        last = job
    return last


def _lines(job: BatchStatus) -> str:
    if job.lines is None:
        return "not counted yet"
    failed = f", {job.failed_lines} failed" if job.failed_lines else ""
    return f"{job.done_lines} of {job.lines}{failed}"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
