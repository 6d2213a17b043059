"""Kill writers, sealers and Postgres at random and at chosen points, then count what is left.

    python -m benchmarks.galleries_kill --operations 10000 --kills 30 --postgres-stops 3

Writers append and remove, write down what they are about to do and what was acknowledged, and after a death
repeat what was not. Sealers seal, merge, purge and collect as fast as they can. Readers search. `--kills` of
the writers and sealers die at random, in turn; beside them each dies by itself at a point that it was born
with: a writer when its rows are copied, when all is written but the COMMIT, or when that is done but not
noted; a sealer at one of its steps. In the end, and for a writer at each of its deaths, nothing acknowledged
may be missing, nothing half applied, nothing doubled or answered otherwise when it is repeated; every search
has to see exactly the rows of Postgres, and no file may be left that no row names. Exit code 1 where that is
not so.
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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, get_args

import click
import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names the class so

from benchmarks.gallery_journal import DIMENSION, Findings, History, Journal, rows_of
from database.migration import migrate
from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.garbage import GarbageCollector
from index_store.maintenance import Maintenance
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer, Step
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from paddlewheel.errors import DatabaseUnavailable
from tests.embeddings import random_embeddings
from tests.postgres import PostgresServer

WritePoint = Literal["copied", "written", "committed"]
"""Of a write: its rows are copied and nothing recorded; all is written but the COMMIT; that has returned."""
WRITE_POINTS: tuple[WritePoint, ...] = get_args(WritePoint)
STEPS: tuple[Step, ...] = get_args(Step)
AT_RANDOM = "at random"

KEY = "kill-test"
POLICY = SealingPolicy(
    delta_rows=512,
    idle=timedelta(seconds=0.3),
    fan_in=4,
    max_rows=20_000,
    purge_after=timedelta(seconds=2),
    grace=timedelta(seconds=1),
    lost_after=timedelta(seconds=2),
)
_SEALS = 8
"""A sealer dies at latest at so many of its seals."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Operations counted, and faults found: every list has to be empty."""

    acknowledged: int
    kills: dict[str, dict[str, int]]
    postgres_stops: int
    repeated: int
    live: int
    wrong: dict[str, list[str]]

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not any(self.wrong.values())


@dataclass(kw_only=True)
class Fate:
    """The point at which a process dies by its own hand, and how often it gets past it."""

    journal: Journal
    point: str
    left: int

    def reach(self, point: str) -> None:
        """Die here if it is time to."""
        if point != self.point:
            return
        self.left -= 1
        if self.left <= 0:
            self.journal.note(event="death", at=point, pid=os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)


class _FatedCursor(Cursor):
    """Reports the outcome of a write."""

    fate: Fate

    def execute(self, query: Any, values: Any = None) -> None:
        if query == "COMMIT":
            self.fate.reach("written")
        super().execute(query, values)
        if query == "COMMIT":
            self.fate.reach("committed")

    def copy_expert(self, *arguments: Any) -> None:
        super().copy_expert(*arguments)
        self.fate.reach("copied")


class FatedDatabase(Database):
    """The database of a writer, which dies in the middle of a transaction."""

    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor that leads to the writer's fate."""
        with self.connection() as connection, connection.cursor(cursor_factory=_FatedCursor) as cursor:
            cursor.fate = self._fate
            yield cursor


def write(store: GalleryStore, journal: Journal, name: str) -> None:
    """Append and remove indefinitely; first finish what a dead predecessor left open."""
    history = History(journal.entries())
    mine = [number for ids in history.appended.values() for number in ids]
    for entry in list(history.open.values()):
        mine += perform(store, journal, entry)
    for number in range(history.started, 10**9):
        entry = {"operation": f"{name}-{number}", "kind": "append"}
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
        journal.note(event="ack", operation=operation, ids=done.ids, repeated=done.repeated)
        return list(done.ids) if entry["kind"] == "append" else []


def seal(store: GalleryStore, fate: Fate) -> None:
    """Maintain until it is time to die."""
    sealer = Sealer(database=store.database, files=store.files, policy=POLICY, on_step=fate.reach)
    collector = GarbageCollector(database=store.database, files=store.files, policy=POLICY)
    maintenance = Maintenance(store=store, sealer=sealer, collector=collector)
    while True:
        try:
            maintenance.run_once()
        except DatabaseUnavailable:
            time.sleep(0.05)


def read(store: GalleryStore) -> None:
    """Search indefinitely; any error except an unreachable database ends it."""
    queries = random_embeddings(4, DIMENSION)
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
        self.roles = {f"writer-{number}": "writer" for number in range(writers)}
        self.roles |= {"sealer-0": "sealer", "sealer-1": "sealer", "reader-0": "reader"}
        self.points: dict[str, Iterator[str]] = {
            "writer": cycle(WRITE_POINTS),
            "sealer": cycle(STEPS),
            "reader": cycle([""]),
        }
        self.victims = cycle(("writer", "sealer"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: dict[str, Counter[str]] = {"writer": Counter(), "sealer": Counter()}
        self.postgres_stops = 0
        self.findings = Findings()
        migrate(self.url)
        self.store = self._store()
        self.store.create(KEY, GallerySpec(dimension=DIMENSION))

    def run(self, operations: int, kills: int, postgres_stops: int, seconds: float) -> Outcome:
        """Until so much was acknowledged, killed at random and stopped, and each kind has died of itself."""
        deadline = time.monotonic() + seconds
        writes = max(1, operations // max(1, kills))
        try:
            while not self._enough(operations, kills, postgres_stops):
                assert time.monotonic() < deadline, f"{self._noted('ack')} operations, {self.kills} by then"
                self._revive(writes)
                time.sleep(random.uniform(0.1, 0.6))
                share = min(1.0, self._noted("ack") / operations)
                if self._at_random < max(1, kills * share):
                    self._kill(next(self.victims))
                if self.postgres_stops < postgres_stops * share:
                    self._stop_postgres()
        finally:
            self._end()
        return self._outcome()

    def close(self) -> None:
        """Stop the server."""
        self._end()
        self.store.database.close()
        self.server.close()

    def _store(self) -> GalleryStore:
        return GalleryStore(Database(self.url), SegmentFolder(self.folder / "segments"))

    def _enough(self, operations: int, kills: int, postgres_stops: int) -> bool:
        return (
            self._noted("ack") >= operations
            and self._noted("ack", "repeated") > 0
            and self._at_random >= kills
            and self.postgres_stops >= postgres_stops
            and self.kills["writer"].keys() >= set(WRITE_POINTS)
            and not self.kills["sealer"].keys().isdisjoint(STEPS)
        )

    @property
    def _at_random(self) -> int:
        return sum(counted[AT_RANDOM] for counted in self.kills.values())

    def _journal(self, name: str) -> Journal:
        return Journal(self.folder / f"{name}.jsonl")

    def _writers(self) -> list[str]:
        return [name for name, role in self.roles.items() if role == "writer"]

    def _noted(self, event: str, also: str | None = None) -> int:
        """How many such entries the writers have made; of those where something else is true, if asked."""
        wanted = [f'"event": "{event}"'.encode(), *([f'"{also}": true'.encode()] if also else [])]
        paths = [self._journal(name).path for name in self._writers()]
        lines = [line for path in paths if path.exists() for line in path.read_bytes().splitlines()]
        return sum(all(part in line for part in wanted) for line in lines)

    def _revive(self, writes: int) -> None:
        """Start who is not there, each with a fate; a writer by the `writes`-th of its writes."""
        for name, role in self.roles.items():
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                self._bury(name, process)
            left = random.randint(1, writes if role == "writer" else _SEALS)
            command = [sys.executable, "-m", "benchmarks.galleries_kill", "process"]
            command += [role, self.url, str(self.folder), name, next(self.points[role]), str(left)]
            self.processes[name] = subprocess.Popen(command)

    def _bury(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Count a death where it happened, and look at what a writer has left."""
        assert process.returncode == -signal.SIGKILL, f"{name} ended with {process.returncode}"
        entries = list(self._journal(name).entries())
        own = [entry["at"] for entry in entries if entry["event"] == "death" and entry["pid"] == process.pid]
        self.kills[self.roles[name]][own[0] if own else AT_RANDOM] += 1
        if self.roles[name] == "writer":
            self.findings.add(History(entries).judge(self._stored(f"{name}-")))

    def _kill(self, role: str) -> None:
        process = self.processes[random.choice([name for name in self.roles if self.roles[name] == role])]
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
        stored = self._stored()
        histories = {name: History(self._journal(name).entries()) for name in self._writers()}
        for name, history in histories.items():
            own = {number: label for number, label in stored.items() if label.startswith(f"{name}-")}
            self.findings.add(history.judge(own))
        wrong = {kind: sorted(found) for kind, found in asdict(self.findings).items()}
        return Outcome(
            acknowledged=sum(history.acknowledged for history in histories.values()),
            kills={role: dict(sorted(counted.items())) for role, counted in self.kills.items()},
            postgres_stops=self.postgres_stops,
            repeated=sum(history.repeated for history in histories.values()),
            live=len(stored),
            wrong=wrong
            | {
                "unsearchable": self._unsearchable(store, stored),
                "orphans": self._orphans(store),
                "problems": list(store.verify(KEY).problems),
            },
        )

    def _stored(self, prefix: str = "") -> dict[int, str]:
        """The rows of the gallery: by its id, the operation that appended each, of those that begin so."""

        def read() -> dict[int, str]:
            with self.store.database.cursor() as cursor:
                cursor.execute(
                    "SELECT id, label FROM gallery_vectors WHERE starts_with(label, %s)", (prefix,)
                )
                return dict(cursor.fetchall())

        return self.store.database.retrying(read)

    def _unsearchable(self, store: GalleryStore, stored: dict[int, str]) -> list[str]:
        """Rows that a fresh process cannot find by their own embedding, or finds though they are gone."""
        found = {number for source in store.view(KEY).sources for number in source.live(source.ids).tolist()}
        wrong = [str(number) for number in found ^ stored.keys()]
        numbers = random.sample(sorted(stored), min(len(stored), 1000))
        records = store.get(KEY, numbers)
        answers = store.search(KEY, np.stack([record.embedding for record in records]), top_k=1)
        wrong += [
            str(record.id)
            for record, hits in zip(records, answers, strict=True)
            if [hit.id for hit in hits] != [record.id]
        ]
        return wrong

    def _orphans(self, store: GalleryStore) -> list[str]:
        """Files that no row names, before anything is cleaned up; and any but the live ones after."""
        collector = GarbageCollector(database=store.database, files=store.files, policy=POLICY)
        orphans = list(collector.unknown_files())
        time.sleep(POLICY.grace.total_seconds())
        collector.run()
        live = {segment.file for segment in store.describe(KEY).segments}
        return [*orphans, *({path.name for path in (self.folder / "segments").iterdir()} - live)]


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


@main.command("process")
@click.argument("role", type=click.Choice(["writer", "sealer", "reader"]))
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("point")
@click.argument("left", type=int)
def process_command(role: str, url: str, folder: Path, name: str, point: str, left: int) -> None:
    """One process of the test, which dies as it reaches that point for the last of so many times."""
    journal = Journal(folder / f"{name}.jsonl")
    fate = Fate(journal=journal, point=point, left=left)
    database = FatedDatabase(url, fate) if role == "writer" else Database(url)
    store = GalleryStore(database, SegmentFolder(folder / "segments"))
    if role == "writer":
        write(store, journal, name)
    elif role == "sealer":
        seal(store, fate)
    else:
        read(store)


if __name__ == "__main__":
    main()
