"""One run over many images: enqueued together, answered as they come, shown in the order they were given."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from paddlewheel.cli.inputs import STDIN_NAME, Input
from paddlewheel.client import Client, Pending
from paddlewheel.contracts.base import Priority, TaskSpec
from paddlewheel.errors import CallerError, PaddlewheelError, ResultTimeout, TaskNotFound

ResultT = TypeVar("ResultT", bound=BaseModel)

_PORTION: Final = 64
"""Images that are read into memory, stored and enqueued at a time."""


@dataclass(frozen=True, kw_only=True)
class InputResult(Generic[ResultT]):
    """The outcome of one image: a result or an error."""

    input: Input
    result: ResultT | None = None
    error: PaddlewheelError | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of every image of a run. `deadline` and `timeout` are seconds."""

    priority: Priority | None
    deadline: float | None
    timeout: float
    options: dict[str, Any]


class Run(Generic[ResultT]):
    """The images of one command on their way through the workers."""

    def __init__(
        self, client: Client, spec: TaskSpec[Any, ResultT], inputs: Sequence[Input], settings: RunSettings
    ) -> None:
        self._client, self._spec, self._inputs, self._settings = client, spec, inputs, settings
        self._priority: Priority = settings.priority or ("interactive" if len(inputs) == 1 else "bulk")
        self._out: dict[int, tuple[int, Pending[ResultT]]] = {}
        self._outcomes: dict[int, InputResult[ResultT]] = {}

    def outcomes(self, arrived: Callable[[int], object]) -> Iterator[InputResult[ResultT]]:
        """One outcome an image, in order; `arrived` hears how many have come.

        Raises OperatorError where the servers fail, InvalidRequest where no image could be enqueued so.
        """
        for start in range(0, len(self._inputs), _PORTION):
            self._enqueue(range(start, min(start + _PORTION, len(self._inputs))))
        shown = 0
        for _ in self._arrivals():
            arrived(shown + len(self._outcomes))
            while shown in self._outcomes:
                yield self._outcomes.pop(shown)
                shown += 1

    def cancel(self) -> int:
        """Ask the workers to drop what is still out; how many images that are."""
        out, self._out = self._out, {}
        for task_id in dict.fromkeys(pending.task_id for _, pending in out.values()):
            with suppress(TaskNotFound):
                self._client.cancel(task_id)
        return len(out)

    def _enqueue(self, places: range) -> None:
        sources: dict[int, Any] = {}
        for place in places:
            try:
                sources[place] = self._source_of(self._inputs[place])
            except CallerError as err:
                self._fail(place, err)
        # What cannot be read or stored comes back as a pending that has failed.
        self._remember(list(sources), self._send(list(sources.values())))

    def _source_of(self, each: Input) -> Any:
        if isinstance(each.source, PaddlewheelError):
            raise each.source
        if isinstance(each.source, bytes):
            return self._client.put(each.source, name=STDIN_NAME)
        return each.source

    def _send(self, sources: list[Any]) -> list[Pending[ResultT]]:
        return self._client.enqueue_many(
            self._spec,
            sources,
            priority=self._priority,
            deadline=self._settings.deadline,
            **self._settings.options,
        )

    def _remember(self, places: Sequence[int], pendings: Sequence[Pending[ResultT]]) -> None:
        for place, pending in zip(places, pendings, strict=True):
            self._out[id(pending)] = (place, pending)

    def _arrivals(self) -> Iterator[None]:
        yield  # what failed before it was enqueued
        pendings = [pending for _, pending in self._out.values()]
        try:
            for pending in self._client.as_completed(pendings, self._settings.timeout):
                self._take(pending)
                yield
        except ResultTimeout:
            late = [place for place, _ in self._out.values()]
            self.cancel()
            for place in late:
                self._fail(place, ResultTimeout(f"No result came within {self._settings.timeout:g} s."))
            yield

    def _take(self, pending: Pending[ResultT]) -> None:
        place, _ = self._out.pop(id(pending))
        try:
            self._outcomes[place] = InputResult(input=self._inputs[place], result=pending.result())
        except PaddlewheelError as err:
            self._fail(place, err)

    def _fail(self, place: int, err: PaddlewheelError) -> None:
        self._outcomes[place] = InputResult(input=self._inputs[place], error=err)
