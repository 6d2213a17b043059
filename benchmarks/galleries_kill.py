"""Kill writers, sealers and Postgres at random and at chosen points, then count what is left.

    python -m benchmarks.galleries_kill --operations 10000 --kills 30 --postgres-stops 3

Writers append and remove, write down what they are about to do and what was acknowledged, and after a death
repeat what was not. Sealers seal, merge, purge and collect as fast as they can, and now and then kill
themselves at a step. Readers search. In the end nothing acknowledged may be missing, nothing half applied,
nothing doubled, every search has to see exactly the rows of Postgres, and no file may be left that no row
names. Exit code 1 where that is not so.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import numpy as np

from api_client.errors import DatabaseUnavailable
from index_store.database import Database
from index_store.gallery import Embeddings, GallerySpec
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance
from index_store.migration import migrate
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer, Step
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings
from tests.postgres import PostgresServer

KEY = "kill-test"
SPEC = GallerySpec(dimension=32)
POLICY = SealingPolicy(
    delta_rows=512,
    idle=timedelta(seconds=0.3),
    fan_in=4,
    max_rows=20_000,
    purge_after=timedelta(seconds=2),
    grace=timedelta(seconds=1),
    lost_after=timedelta(seconds=2),
)
CRASH_SHARE = 0.03
STEPS: tuple[Step, ...] = ("announce", "read", "build", "write", "publish", "commit", "done")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, and what is wrong: every list has to be empty."""

    acknowledged: int
    kills: dict[str, int]
    postgres_stops: int
    repeated: int
    live: int
    lost: tuple[str, ...]
    undead: tuple[str, ...]
    half_applied: tuple[str, ...]
    doubled: tuple[str, ...]
    unsearchable: tuple[str, ...]
    orphans: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not any(
            (
                self.lost,
                self.undead,
                self.half_applied,
                self.doubled,
                self.unsearchable,
                self.orphans,
                self.problems,
            )
        )


class Journal:
    """What one writer meant to do and what was acknowledged; it survives the writer, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, **entry: Any) -> None:
        """Append one line, in one write."""
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")

    def entries(self) -> Iterator[dict[str, Any]]:
        """The whole lines."""
        if self.path.exists():
            for line in self.path.read_bytes().split(b"\n")[:-1]:
                yield json.loads(line)

    def operations(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """What was started and what was acknowledged, by operation id."""
        entries = list(self.entries())
        started = {entry["operation"]: entry for entry in entries if entry["event"] == "start"}
        return started, {entry["operation"]: entry for entry in entries if entry["event"] == "ack"}


def rows_of(operation: str) -> Embeddings:
    """The embeddings of an append: its id alone says how many and which, so that a repeat is the same."""
    digest = sha256(operation.encode()).digest()
    return random_embeddings(1 + digest[0] % 12, SPEC.dimension, seed=int.from_bytes(digest[1:5]))


def write(store: GalleryStore, journal: Journal, name: str) -> None:
    """Append and remove for ever, first what a dead predecessor has left open."""
    started, acknowledged = journal.operations()
    mine = [number for entry in acknowledged.values() if entry["kind"] == "append" for number in entry["ids"]]
    for operation in started.keys() - acknowledged.keys():
        perform(store, journal, started[operation])
    for number in range(len(started), 10**9):
        entry: dict[str, Any] = {"operation": f"{name}-{number}", "kind": "append"}
        if number % 3 == 2 and mine:
            chosen = random.sample(mine, min(len(mine), random.randint(1, 8)))
            entry |= {"kind": "remove", "ids": chosen}
        journal.note(event="start", **entry)
        mine += perform(store, journal, entry)


def perform(store: GalleryStore, journal: Journal, entry: dict[str, Any]) -> list[int]:
    """Do one operation until it is acknowledged; returns the ids that were appended."""
    operation = entry["operation"]
    while True:
        try:
            if entry["kind"] == "append":
                rows = rows_of(operation)
                done: Any = store.append(KEY, rows, [operation] * len(rows), operation_id=operation)
            else:
                done = store.remove(KEY, ids=entry["ids"], operation_id=operation)
        except DatabaseUnavailable:
            time.sleep(0.05)
            continue
        journal.note(
            event="ack", operation=operation, kind=entry["kind"], ids=done.ids, repeated=done.repeated
        )
        return list(done.ids) if entry["kind"] == "append" else []


def seal(store: GalleryStore) -> None:
    """Maintain for ever, with a death at some step now and then."""

    def on_step(step: Step) -> None:
        if random.random() < CRASH_SHARE:
            os.write(1, f"died at {step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sealer = Sealer(database=store.database, files=store.files, policy=POLICY, on_step=on_step)
    collector = GarbageCollector(database=store.database, files=store.files, policy=POLICY)
    maintenance = Maintenance(store=store, sealer=sealer, collector=collector)
    while True:
        try:
            maintenance.run_once()
        except DatabaseUnavailable:
            time.sleep(0.05)


def read(store: GalleryStore) -> None:
    """Search for ever; anything but an unreachable database ends it."""
    queries = random_embeddings(4, SPEC.dimension)
    while True:
        try:
            for hits in store.search(KEY, queries, top_k=10):
                assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        except DatabaseUnavailable:
            time.sleep(0.05)


class KillTest:
    """The processes of one run, and the server that they use."""

    def __init__(self, folder: Path, writers: int = 3) -> None:
        self.folder = folder
        self.server = PostgresServer()
        self.url = self.server.url()
        self.roles = {f"writer-{number}": "write" for number in range(writers)}
        self.roles |= {"sealer-0": "seal", "sealer-1": "seal", "reader-0": "read"}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()
        self.postgres_stops = 0
        migrate(self.url)
        self._store().create(KEY, SPEC)

    def run(self, operations: int, kills: int, postgres_stops: int, seconds: float) -> Outcome:
        """Until all three numbers are reached; more kills than asked for happen by themselves."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self._revive()
                time.sleep(random.uniform(0.1, 0.6))
                done = self._acknowledged()
                share = min(1.0, done / operations)
                if self.kills["writer"] + self.kills["sealer"] < max(1, kills * share):
                    self._kill(random.choice([name for name in self.roles if "reader" not in name]))
                if self.postgres_stops < postgres_stops * share:
                    self._stop_postgres()
                if done >= operations and sum(self.kills.values()) >= kills:
                    break
            else:
                raise AssertionError(f"only {self._acknowledged()} operations in {seconds} s")
        finally:
            self._end()
        return self._outcome()

    def close(self) -> None:
        """Stop the server."""
        self._end()
        self.server.close()

    def _store(self) -> GalleryStore:
        return GalleryStore(Database(self.url), SegmentFolder(self.folder / "segments"))

    def _journals(self) -> list[Journal]:
        return [Journal(self.folder / f"{name}.jsonl") for name in self.roles if "writer" in name]

    def _acknowledged(self) -> int:
        paths = [journal.path for journal in self._journals() if journal.path.exists()]
        return sum(path.read_bytes().count(b'"event": "ack"') for path in paths)

    def _revive(self) -> None:
        for name, role in self.roles.items():
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                assert process.returncode == -signal.SIGKILL, f"{name} ended with {process.returncode}"
                self.kills[name.partition("-")[0]] += 1
            command = [
                sys.executable,
                "-m",
                "benchmarks.galleries_kill",
                role,
                self.url,
                str(self.folder),
                name,
            ]
            self.processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def _kill(self, name: str) -> None:
        process = self.processes[name]
        process.kill()
        process.wait()

    def _stop_postgres(self) -> None:
        self.server.stop("immediate")
        self.server.start()
        self.postgres_stops += 1

    def _end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _outcome(self) -> Outcome:
        store = self._store()
        started: dict[str, dict[str, Any]] = {}
        acknowledged: dict[str, dict[str, Any]] = {}
        for journal in self._journals():
            begun, done = journal.operations()
            started |= begun
            acknowledged |= done
        stored = _stored_labels(store)
        may_be_removed = {n for e in started.values() if e["kind"] == "remove" for n in e["ids"]}
        removed = {n for e in acknowledged.values() if e["kind"] == "remove" for n in e["ids"]}
        appends = {name: e for name, e in acknowledged.items() if e["kind"] == "append"}
        by_operation: dict[str, list[int]] = {}
        for vector_id, label in stored.items():
            by_operation.setdefault(label, []).append(vector_id)
        open_appends = [
            name for name, entry in started.items() if entry["kind"] == "append" and name not in acknowledged
        ]
        return Outcome(
            acknowledged=len(acknowledged),
            kills=dict(self.kills),
            postgres_stops=self.postgres_stops,
            repeated=sum(entry["repeated"] for entry in acknowledged.values()),
            live=len(stored),
            lost=tuple(
                f"{name}: {number}"
                for name, entry in appends.items()
                for number in entry["ids"]
                if number not in stored and number not in may_be_removed
            ),
            undead=tuple(str(number) for number in removed & stored.keys()),
            half_applied=tuple(
                name
                for name in open_appends
                if len(by_operation.get(name, ())) not in (0, len(rows_of(name)))
            ),
            doubled=tuple(
                name
                for name, entry in appends.items()
                if len(entry["ids"]) != len(rows_of(name))
                or not set(by_operation.get(name, ())) <= set(entry["ids"])
            ),
            unsearchable=self._unsearchable(store, stored),
            orphans=self._orphans(store),
            problems=store.verify(KEY).problems,
        )

    def _unsearchable(self, store: GalleryStore, stored: dict[int, str]) -> tuple[str, ...]:
        """Rows that a fresh process cannot find by their own embedding, or finds though they are gone."""
        found = {number for source in store.view(KEY).sources for number in source.live(source.ids).tolist()}
        wrong = [str(number) for number in found ^ stored.keys()]
        numbers = random.sample(sorted(stored), min(len(stored), 1000))
        records = store.get(KEY, numbers)
        answers = store.search(KEY, np.stack([record.embedding for record in records]), top_k=1)
        wrong += [
            str(record.id) for record, hits in zip(records, answers, strict=True) if hits[0].id != record.id
        ]
        return tuple(wrong)

    def _orphans(self, store: GalleryStore) -> tuple[str, ...]:
        """Files that no row names, before anything is cleaned up; and any but the live ones after."""
        collector = GarbageCollector(database=store.database, files=store.files, policy=POLICY)
        orphans = list(collector.unknown_files())
        time.sleep(POLICY.grace.total_seconds())
        collector.run()
        live = {segment.file for segment in store.describe(KEY).segments}
        return (*orphans, *({path.name for path in (self.folder / "segments").iterdir()} - live))


def _stored_labels(store: GalleryStore) -> dict[int, str]:
    with store.database.cursor() as cursor:
        cursor.execute("SELECT id, label FROM gallery_vectors")
        return dict(cursor.fetchall())


@click.group(invoke_without_command=True)
@click.option("--operations", default=10_000, show_default=True)
@click.option("--kills", default=30, show_default=True)
@click.option("--postgres-stops", default=3, show_default=True)
@click.option("--seconds", default=300.0, show_default=True, help="Give up after so long.")
@click.pass_context
def main(context: click.Context, operations: int, kills: int, postgres_stops: int, seconds: float) -> None:
    """Run the kill test and print its outcome as JSON."""
    if context.invoked_subcommand:
        return
    with tempfile.TemporaryDirectory(prefix="paddlewheel-kill-") as folder:
        test = KillTest(Path(folder))
        try:
            outcome = test.run(operations, kills, postgres_stops, seconds)
        finally:
            test.close()
    click.echo(json.dumps(asdict(outcome), indent=2))
    sys.exit(0 if outcome.sound else 1)


@main.command("write")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
def write_command(url: str, folder: Path, name: str) -> None:
    """One writer."""
    store = GalleryStore(Database(url), SegmentFolder(folder / "segments"))
    write(store, Journal(folder / f"{name}.jsonl"), name)


@main.command("seal")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
def seal_command(url: str, folder: Path, name: str) -> None:  # noqa: ARG001 - all roles are started alike
    """One sealer."""
    seal(GalleryStore(Database(url), SegmentFolder(folder / "segments")))


@main.command("read")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
def read_command(url: str, folder: Path, name: str) -> None:  # noqa: ARG001 - all roles are started alike
    """One reader."""
    read(GalleryStore(Database(url), SegmentFolder(folder / "segments")))


if __name__ == "__main__":
    main()
