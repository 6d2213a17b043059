"""Journals of the kill test's writers: operations begun and acknowledged, checked against the gallery."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from index_store.gallery import Embeddings
from tests.embeddings import random_embeddings

DIMENSION = 32


class Journal:
    """One process's operations, acknowledgements and death, in a file that survives it."""

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


def rows_of(operation: str) -> Embeddings:
    """The embeddings of an append: its id alone says how many and which, so that a repeat is the same."""
    digest = sha256(operation.encode()).digest()
    return random_embeddings(1 + digest[0] % 12, DIMENSION, seed=int.from_bytes(digest[1:5]))


@dataclass
class Findings:
    """Faults, one line each: all lists have to be empty."""

    lost: set[str] = field(default_factory=set)
    undead: set[str] = field(default_factory=set)
    half_applied: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    misanswered: set[str] = field(default_factory=set)

    def add(self, others: "Findings") -> None:
        """Take over what was found elsewhere."""
        for part in fields(self):
            getattr(self, part.name).update(getattr(others, part.name))


class History:
    """What one writer has done, by its journal: one operation after the other, so that at most one is open.

    `live` are the ids that the gallery has to hold of this writer and `removed` those that it must not hold,
    both by what was asked for, not by what was answered. `repeated` counts what was answered as repeated.
    """

    def __init__(self, entries: Iterable[dict[str, Any]]) -> None:
        self.live: set[int] = set()
        self.removed: set[int] = set()
        self.appended: dict[str, list[int]] = {}
        self.open: dict[str, dict[str, Any]] = {}
        self.started = 0
        self.acknowledged = 0
        self.repeated = 0
        self.misanswered: set[str] = set()
        self._committed: set[str] = set()
        read = {"start": self._start, "ack": self._acknowledge, "death": self._die}
        for entry in entries:
            read[entry["event"]](entry)

    def judge(self, stored: Mapping[int, str]) -> Findings:
        """Hold it against the rows of the gallery: by its id, the operation that appended each."""
        rows = _by_operation(stored)
        return Findings(
            lost={str(number) for number in self.live - self._going() - stored.keys()},
            undead={str(number) for number in self.removed & stored.keys()},
            half_applied={
                meant["operation"] for meant in self.open.values() if not self._whole(meant, stored, rows)
            },
            doubled={
                operation
                for operation, ids in self.appended.items()
                if len(ids) != len(rows_of(operation)) or not rows.get(operation, set()) <= set(ids)
            },
            misanswered=set(self.misanswered),
        )

    def _going(self) -> set[int]:
        """The live ids that an open removal may have taken already."""
        asked = {number for meant in self.open.values() for number in meant.get("ids", ())}
        return self.live & asked

    def _whole(self, meant: dict[str, Any], stored: Mapping[int, str], rows: Mapping[str, set[int]]) -> bool:
        if meant["kind"] == "append":
            return len(rows.get(meant["operation"], ())) in (0, len(rows_of(meant["operation"])))
        return self._going() & stored.keys() in (set(), self._going())

    def _start(self, entry: dict[str, Any]) -> None:
        self.started += 1
        self.open[entry["operation"]] = entry

    def _acknowledge(self, entry: dict[str, Any]) -> None:
        operation, ids = entry["operation"], entry["ids"]
        self.acknowledged += 1
        self.repeated += entry["repeated"]
        if operation in self._committed and not entry["repeated"]:
            self.misanswered.add(operation)
        meant = self.open.pop(operation)
        if meant["kind"] == "append":
            self.appended[operation] = ids
            self.live.update(ids)
            return
        if set(ids) != self.live & set(meant["ids"]):
            self.misanswered.add(operation)
        self.live -= set(meant["ids"])
        self.removed.update(meant["ids"])

    def _die(self, entry: dict[str, Any]) -> None:
        if entry["at"] == "committed":
            self._committed.update(self.open)


def _by_operation(stored: Mapping[int, str]) -> dict[str, set[int]]:
    rows: dict[str, set[int]] = {}
    for number, operation in stored.items():
        rows.setdefault(operation, set()).add(number)
    return rows
