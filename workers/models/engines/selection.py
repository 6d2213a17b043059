"""`engine=auto`: the engine of a cached choice, or one that is measured now and cached."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol, Self

from workers.models.engines.agreement import TOLERANCE
from workers.models.engines.choice import FOLDER, Conditions, EngineChoice, EngineChoiceCache, conditions_of
from workers.models.engines.measurement import EngineMeasurement, EngineUnderTest, measure
from workers.models.engines.opening import choose_engine, loadable_engines
from workers.models.engines.samples import PreparesImages, samples
from workers.models.engines.session import EngineName, SessionOptions
from workers.models.engines.trial_process import OPEN_ENGINE, EngineTrialProcess
from workers.models.home.directory import ModelDirectory

_POLL: Final = 0.2
log = logging.getLogger(__name__)


class StartedTrial(EngineUnderTest, Protocol):
    """A trial whose process is started and ended from here."""

    def start(self) -> None:
        """Start the process if there is none."""

    def close(self) -> None:
        """End it."""


class EngineSelection:
    """Selects the engine of one model after the other. A context manager, which ends its processes."""

    def __init__(
        self,
        home: Path,
        *,
        seconds: float,
        environment: Mapping[str, str],
        trial: Callable[[EngineName], StartedTrial] | None = None,
        opener: str = OPEN_ENGINE,
    ) -> None:
        """`seconds` is what measuring may take for all models together; `environment` a model process's."""
        self._home = home
        self._choices = EngineChoiceCache(home)
        self._until = time.monotonic() + seconds
        self._trial = trial or (lambda engine: EngineTrialProcess(engine, environment, opener=opener))
        self._trials: dict[EngineName, StartedTrial] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def options_for(
        self,
        directory: ModelDirectory,
        model: PreparesImages,
        options: SessionOptions,
        batch_sizes: tuple[int, ...],
    ) -> SessionOptions:
        """The options with `auto` replaced by an engine. Raises ModelUnavailable when there is none."""
        preferred = choose_engine(directory, options)
        engines = loadable_engines(directory)
        if options.engine != "auto" or options.on_gpu or len(engines) == 1:
            return replace(options, engine=preferred)
        conditions = conditions_of(directory, options, engines, model.warmup_shapes, batch_sizes)
        choice = self._choices.find(directory.name, conditions)
        if choice is None:
            with self._measuring_lock():
                # Another worker may have measured it while this one waited.
                choice = self._choices.find(directory.name, conditions)
                choice = choice or self._measure(directory, model, options, conditions)
        if choice is None:
            log.warning("%s runs on %s: its engines could not be measured.", directory.name, preferred)
        return replace(options, engine=choice.engine if choice else preferred)

    def _measure(
        self,
        directory: ModelDirectory,
        model: PreparesImages,
        options: SessionOptions,
        conditions: Conditions,
    ) -> EngineChoice | None:
        """None when no time is left or no engine ran; the model process then reports the error."""
        if not self._remaining():
            return None
        began = time.monotonic()
        trials = [self._start_trial(engine) for engine in conditions.engines]
        made = samples(model, conditions.batch_sizes)
        measured = measure(directory, options, trials, made, remaining=self._remaining)
        _log_measurement(directory.name, measured, time.monotonic() - began)
        if measured.chosen is None or measured.reference is None:
            return None
        choice = EngineChoice(
            model=directory.name,
            engine=measured.chosen,
            reference=measured.reference,
            tolerance=TOLERANCE,
            figures=measured.figures,
            conditions=conditions,
        )
        self._choices.store(choice)
        return choice

    def _start_trial(self, engine: EngineName) -> EngineUnderTest:
        """One process for all models: importing Paddle alone takes two seconds."""
        if engine not in self._trials:
            self._trials[engine] = self._trial(engine)
            self._stack.callback(self._trials[engine].close)
        self._trials[engine].start()
        return self._trials[engine]

    def _remaining(self) -> float:
        return max(0.0, self._until - time.monotonic())

    @contextmanager
    def _measuring_lock(self) -> Iterator[None]:
        """Workers that start together measure one after the other, as they would slow each other down.

        A home that cannot be written has no lock; the lock of a process that died is free.
        """
        try:
            (self._home / FOLDER).mkdir(exist_ok=True)
            file = (self._home / FOLDER / "lock").open("w")
        except OSError:
            yield
            return
        with file:
            while self._remaining() > 0:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    time.sleep(_POLL)
            yield


def _log_measurement(model: str, measured: EngineMeasurement, seconds: float) -> None:
    for each in measured.figures:
        if each.refused is not None:
            log.warning("%s is not run on %s: %s", model, each.engine, each.refused)
            continue
        times = ", ".join(f"{took:.1f} ms in batches of {size}" for size, took in each.milliseconds.items())
        log.info("%s on %s, an item: %s", model, each.engine, times)
    if measured.chosen is not None:
        log.info("%s runs on %s, measured in %.1f s", model, measured.chosen, seconds)
