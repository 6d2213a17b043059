"""Which engine a model runs on, measured once on a machine and cached in the model home.

A choice is valid under the conditions of its measurement only: the model's files, the engines' versions, the
processor, the threads, the shapes. It is a JSON file in the home's `.engines` folder, one for each model and
set of conditions, so that workers with different settings keep theirs side by side.
"""

import contextlib
import logging
import os
import platform
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.models.engines.session import EngineName, ItemShapes, SessionOptions
from workers.models.home.directory import ModelDirectory

FOLDER: Final = ".engines"
PROCEDURE: Final = 1
"""Increment it when engines are measured or compared in another way: earlier choices become invalid."""

KEPT: Final = 8
"""Choices kept for a model; older ones are deleted."""

_DISTRIBUTIONS: Final[Mapping[EngineName, tuple[str, ...]]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime",),
    "paddle": ("paddlepaddle", "paddlepaddle-gpu"),
}
log = logging.getLogger(__name__)


class Conditions(BaseModel):
    """What a choice depends on. `engines` are the versions of those that can load the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    procedure: int = PROCEDURE
    files: str = Field(description="The model directory's fingerprint.")
    engines: Mapping[EngineName, str]
    processor: str
    cores: int
    threads: int
    precision: str
    enable_mkldnn: bool
    items: tuple[ItemShapes, ...]
    batch_sizes: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Short, and different for different conditions."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:16]


class EngineTiming(BaseModel):
    """The measurement of one engine.

    `milliseconds` an item by batch size, the best of its runs, added up over the model's warm-up items.
    `difference` is the largest from the reference's outputs, None for the reference itself and for an engine
    that gave none. `refused` says why the engine was not eligible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName
    milliseconds: Mapping[int, float] = Field(default_factory=dict)
    difference: float | None = None
    refused: str | None = None


class EngineChoice(BaseModel):
    """The engine that was chosen for a model, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    engine: EngineName
    reference: EngineName = Field(description="The engine whose outputs the others had to agree with.")
    tolerance: float = Field(description="The largest difference that was accepted.")
    figures: tuple[EngineTiming, ...]
    conditions: Conditions
    measured_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class EngineChoiceCache:
    """The choices of one model home. A home that cannot be written caches nothing and logs that once."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._warned = False

    def find(self, model: str, conditions: Conditions) -> EngineChoice | None:
        """The choice made under these conditions, if there is one."""
        found = _read(self._file(model, conditions))
        return found if found is not None and found.conditions == conditions else None

    def newest(self, model: str) -> EngineChoice | None:
        """The last choice made for this model, under whatever conditions."""
        found = [choice for choice in map(_read, self._files(model)) if choice is not None]
        return max(found, key=lambda choice: choice.measured_at, default=None)

    def store(self, choice: EngineChoice) -> None:
        """Write it atomically: other workers may read and write at the same time."""
        target = self._file(choice.model, choice.conditions)
        try:
            self._folder.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=".", delete=False) as file:
                file.write(choice.model_dump_json(indent=2) + "\n")
            Path(file.name).chmod(0o644)
            Path(file.name).replace(target)
        except OSError as err:
            if not self._warned:
                log.warning("engine choices are not kept, so every start measures again: %s", err)
            self._warned = True
            return
        self._drop_old(choice.model)

    def _file(self, model: str, conditions: Conditions) -> Path:
        return self._folder / f"{quote(model, safe='')}.{conditions.digest}.json"

    def _files(self, model: str) -> list[Path]:
        stem = quote(model, safe="")
        return [path for path in self._folder.glob("*.json") if path.name.rsplit(".", 2)[0] == stem]

    def _drop_old(self, model: str) -> None:
        with contextlib.suppress(OSError):
            by_age = sorted(self._files(model), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in by_age[KEPT:]:
                path.unlink()


def read_choice(home: Path, model: str) -> EngineChoice | None:
    """The newest choice kept for a model, for display."""
    return EngineChoiceCache(home).newest(model)


def conditions_of(
    directory: ModelDirectory,
    options: SessionOptions,
    engines: tuple[EngineName, ...],
    items: tuple[ItemShapes, ...],
    batch_sizes: tuple[int, ...],
) -> Conditions:
    """The conditions under which these engines would be measured now."""
    return Conditions(
        files=directory.fingerprint,
        engines={engine: _version(engine) for engine in engines},
        processor=processor(),
        cores=os.cpu_count() or 1,
        threads=options.threads,
        precision=options.precision,
        enable_mkldnn=options.enable_mkldnn,
        items=items,
        batch_sizes=batch_sizes,
    )


def processor() -> str:
    """The CPU's model, as far as the system reports it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(engine: EngineName) -> str:
    for name in _DISTRIBUTIONS[engine]:
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def _read(path: Path) -> EngineChoice | None:
    """None when there is none, or when it is damaged: then the engines are measured again."""
    try:
        return EngineChoice.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
