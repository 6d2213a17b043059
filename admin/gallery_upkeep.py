"""Maintenance of sealed galleries: verify, seal and compact their files, and delete unused ones."""

import threading
from collections.abc import Callable
from dataclasses import asdict

import click

from admin.gallery_printing import print_collected, print_sealed, rows_bar, steps_bar
from admin.gallery_stores import StoreOptions
from index_store.maintenance import Maintenance
from index_store.sealing import Sealed, Step
from index_store.store import GalleryStore
from paddlewheel.cli.console import end, json_option, print_json, report_errors
from paddlewheel.cli.exit_codes import ExitCode


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
@report_errors()
def verify(options: StoreOptions, key: str, as_json: bool) -> None:
    """Compare every file with Postgres. `seal` or the next maintenance rewrites damaged files."""
    with options.store() as store, rows_bar(key) as progress:
        found = store.verify(key, progress=progress)
    for problem in found.problems:
        click.echo(problem, err=True)
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(f"{found.vectors} vectors, {found.segments} segments, {len(found.problems)} problems.")
    if found.problems:
        end(ExitCode.FAILED)


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
@report_errors()
def seal(options: StoreOptions, key: str, as_json: bool) -> None:
    """Seal, compact and purge this gallery now, as far as the policy says."""
    _seal(options, key, lambda store, on_step: options.sealer(store, on_step).run(key), as_json)


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
@report_errors()
def compact(options: StoreOptions, key: str, as_json: bool) -> None:
    """Rewrite the whole gallery into as few segments as possible, without any removed vector."""
    policy = options.policy
    _seal(options, key, lambda store, on_step: store.compact(key, policy=policy, on_step=on_step), as_json)


@click.command()
@click.option("--sweep-unknown", is_flag=True, help="Also delete files that this database does not name.")
@json_option
@click.pass_obj
@report_errors()
def collect(options: StoreOptions, sweep_unknown: bool, as_json: bool) -> None:
    """Delete files that no gallery uses."""
    with options.store() as store:
        collector = options.collector(store)
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
        end(ExitCode.FAILED)


@click.command()
@click.option("--interval", type=float, default=10, show_default=True, help="Seconds between rounds.")
@click.option("--once", is_flag=True, help="Do what is due now, then end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print one JSON object a round.")
@click.pass_obj
@report_errors()
def maintain(options: StoreOptions, interval: float, once: bool, as_json: bool) -> None:
    """Seal, compact, purge and collect for all galleries, until interrupted."""
    if as_json and not once:
        raise click.UsageError("--json needs --once: endless rounds have no result.")
    with options.store() as store:
        sealer = options.sealer(store, lambda step: None)  # noqa: ARG005
        maintenance = Maintenance(store=store, sealer=sealer, collector=options.collector(store))
        if not once:
            maintenance.run(threading.Event(), interval)
        failed: set[str] = set()
        unfinished = True
        while unfinished:
            done = maintenance.run_once()  # it logs each failure on stderr
            unfinished = done.unfinished
            failed.update(done.failures)
            if as_json:
                print_json(asdict(done))
            else:
                print_sealed(done.sealed)
                print_collected(done.collected)
    if failed:
        click.echo(f"{len(failed)} galleries or files failed.", err=True)
        end(ExitCode.FAILED)


def _seal(
    options: StoreOptions,
    key: str,
    work: Callable[[GalleryStore, Callable[[Step], None]], tuple[Sealed, ...] | None],
    as_json: bool,
) -> None:
    with options.store() as store, steps_bar(key) as on_step:
        sealed = work(store, on_step)
    if sealed is None:
        click.echo("Another process holds this gallery: try again later.", err=True)
        end(ExitCode.UNAVAILABLE)
    if as_json:
        print_json([asdict(segment) for segment in sealed])
    else:
        print_sealed(sealed)
        if not sealed:
            click.echo("Nothing to do.")
