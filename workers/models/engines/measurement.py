"""Which of several engines answers a model's samples as the reference does, and fastest.

The engines run in turns, a round at a time, and the best run of each counts: on a machine with other work,
a mean measures the neighbours.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from workers.models.engines.agreement import TOLERANCE, difference
from workers.models.engines.choice import EngineTiming
from workers.models.engines.samples import Sample
from workers.models.engines.session import ENGINES, EngineName, SessionOptions
from workers.models.engines.trial import write_arrays
from workers.models.engines.trial_process import TrialFailedError
from workers.models.home.directory import ModelDirectory

REFERENCES: Final[tuple[EngineName, ...]] = ("paddle", "onnxruntime", "openvino")
"""The first of these that answers is what the others are compared with."""

ROUNDS: Final = range(3, 13)
"""Rounds that every engine runs, at least and at most."""

ENGINE_SECONDS: Final = 1.0
"""Time of one engine's runs, beyond which there is no further round."""

ANSWER_SECONDS: Final = 60.0
"""An engine that takes longer to load a model and answer its samples, or for one run, is refused."""

MARGIN: Final = 0.05
"""An engine has to be faster by this part to be taken before one that `ENGINES` prefers."""

Outputs = Sequence[tuple[NDArray[Any], ...]]
log = logging.getLogger(__name__)


class EngineUnderTest(Protocol):
    """One engine that models are tried on."""

    @property
    def engine(self) -> EngineName:
        """Its name."""

    def open(
        self, path: Path, options: SessionOptions, samples: Sequence[Path], outputs: Path, *, timeout: float
    ) -> Outputs:
        """Load a model, answer each sample once. Raises TrialFailedError."""

    def milliseconds(self, sample: int, *, timeout: float) -> float:
        """The time of one more run. Raises TrialFailedError."""


@dataclass(frozen=True, kw_only=True)
class EngineMeasurement:
    """What was found, and the engine that follows from it; None when no engine ran."""

    figures: tuple[EngineTiming, ...]
    reference: EngineName | None
    chosen: EngineName | None


def measure(
    directory: ModelDirectory,
    options: SessionOptions,
    trials: Sequence[EngineUnderTest],
    samples: Sequence[Sample],
    *,
    remaining: Callable[[], float],
) -> EngineMeasurement:
    """Try a model on every engine. One that needs more than the seconds that remain is refused."""
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        opened = _open(directory, options, trials, samples, Path(name), remaining)
    refused = {engine: found for engine, found in opened.items() if isinstance(found, str)}
    outputs = {engine: found for engine, found in opened.items() if not isinstance(found, str)}
    reference = next((engine for engine in REFERENCES if engine in outputs), None)
    differences = {
        engine: _difference(directory, outputs[reference], found)
        for engine, found in outputs.items()
        if reference is not None and engine != reference
    }
    for engine, each in differences.items():
        if not each <= TOLERANCE:
            refused[engine] = f"its outputs differ from {reference}'s by {each:.2g}"
    able = [trial for trial in trials if trial.engine not in refused]
    milliseconds = _time(able, samples, refused, remaining)
    figures = tuple(
        EngineTiming(
            engine=trial.engine,
            milliseconds=milliseconds.get(trial.engine, {}),
            difference=_finite(differences.get(trial.engine)),
            refused=refused.get(trial.engine),
        )
        for trial in trials
    )
    return EngineMeasurement(figures=figures, reference=reference, chosen=choose(figures))


def choose(figures: Sequence[EngineTiming]) -> EngineName | None:
    """The fastest over all batch sizes; among those within `MARGIN` of it the one that `ENGINES` prefers."""
    times = {each.engine: sum(each.milliseconds.values()) for each in figures if each.refused is None}
    if not times:
        return None
    limit = min(times.values()) * (1 + MARGIN)
    return next(engine for engine in ENGINES if times.get(engine, float("inf")) <= limit)


def _open(
    directory: ModelDirectory,
    options: SessionOptions,
    trials: Sequence[EngineUnderTest],
    samples: Sequence[Sample],
    folder: Path,
    remaining: Callable[[], float],
) -> dict[EngineName, Outputs | str]:
    """Each engine's outputs, or why there are none."""
    inputs = [folder / f"sample-{number}.npz" for number in range(len(samples))]
    for file, sample in zip(inputs, samples, strict=True):
        write_arrays(file, sample.inputs)

    def attempt(trial: EngineUnderTest) -> Outputs | str:
        outputs = folder / trial.engine
        outputs.mkdir()
        named = replace(options, engine=trial.engine)
        try:
            return trial.open(
                directory.path, named, inputs, outputs, timeout=min(ANSWER_SECONDS, remaining())
            )
        except TrialFailedError as err:
            return str(err)

    with ThreadPoolExecutor(len(trials)) as threads:
        found = list(threads.map(attempt, trials))
    return {trial.engine: each for trial, each in zip(trials, found, strict=True)}


def _difference(directory: ModelDirectory, reference: Outputs, outputs: Outputs) -> float:
    pairs = zip(reference, outputs, strict=True)
    return max(difference(directory.family, one, other) for one, other in pairs)


def _time(
    trials: Sequence[EngineUnderTest],
    samples: Sequence[Sample],
    refused: dict[EngineName, str],
    remaining: Callable[[], float],
) -> Mapping[EngineName, Mapping[int, float]]:
    """The best milliseconds an item by engine and batch size; an engine that fails here joins `refused`."""
    best: dict[EngineName, list[float]] = {trial.engine: [float("inf")] * len(samples) for trial in trials}
    began = time.monotonic()
    for number in range(ROUNDS.stop):
        able = [trial for trial in trials if trial.engine not in refused]
        spent = time.monotonic() - began
        if number >= ROUNDS.start and spent > ENGINE_SECONDS * len(able):
            break
        for trial in able:
            try:
                for i in range(len(samples)):
                    taken = trial.milliseconds(i, timeout=min(ANSWER_SECONDS, remaining()))
                    best[trial.engine][i] = min(best[trial.engine][i], taken)
            except TrialFailedError as err:
                refused[trial.engine] = str(err)
    return {engine: _by_batch_size(samples, times) for engine, times in best.items() if engine not in refused}


def _by_batch_size(samples: Sequence[Sample], times: Sequence[float]) -> Mapping[int, float]:
    found: dict[int, float] = {}
    for sample, taken in zip(samples, times, strict=True):
        found[sample.batch_size] = round(found.get(sample.batch_size, 0.0) + taken / sample.batch_size, 3)
    return found


def _finite(value: float | None) -> float | None:
    """JSON has no infinity; the refusal says it."""
    return value if value is not None and value < float("inf") else None
