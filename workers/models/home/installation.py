"""Which models a home holds, and whether their files are unaltered."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paddlewheel.errors import ModelUnavailable
from workers.models.home.directory import ModelDirectory, ModelFamily
from workers.models.home.home import ModelHome
from workers.models.home.packages import RECORD, altered_files

State = Literal["installed", "altered", "incomplete", "by hand", "unusable"]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One model of a home. `origin` is the package or address it came from; None when put there by hand."""

    name: str
    path: Path
    state: State
    family: ModelFamily | None
    origin: str | None
    problem: str | None = None


def installation(home: ModelHome, name: str, *, verify: bool = True) -> Installation | None:
    """The installation of that name; without `verify` its files are not read and count as unaltered."""
    path = home.find(name)
    if path is None:
        return None
    family, problem = _family(path)
    origin = origin_of(path)
    state = _state(path, origin, problem, verify=verify)
    return Installation(name=name, path=path, state=state, family=family, origin=origin, problem=problem)


def _family(path: Path) -> tuple[ModelFamily | None, str | None]:
    try:
        return ModelDirectory.open(path).family, None
    except ModelUnavailable as err:
        return None, err.message


def origin_of(path: Path) -> str | None:
    """The package or the address that the model there came from; None when it was put there by hand."""
    try:
        record = json.loads((path / RECORD).read_text())
        return str(record.get("source") or record["package"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(path: Path, origin: str | None, problem: str | None, *, verify: bool) -> State:
    if problem is not None:
        return "unusable"
    if origin is None:
        return "by hand"
    if not verify:
        return "installed"
    altered = altered_files(path)
    if altered is None:
        return "incomplete"
    return "altered" if altered else "installed"
