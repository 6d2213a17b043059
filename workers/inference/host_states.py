"""The states of a model host, and every transition between them.

`HostLifecycle` knows no process and no lock: the host reports events to it while holding its own lock.
"""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

RETRY_PAUSE: Final = 5.0
"""Seconds after a failed start before the next one."""


class HostState(Enum):
    """What a host's model process is doing."""

    DOWN = "down"
    """There is no process; the next batch or `revive` starts one."""

    STARTING = "starting"
    """A process loads its models; batches wait."""

    SERVING = "serving"
    """The process answers batches."""

    REPLACING = "replacing"
    """The process answers batches while its successor loads."""

    AWAITING_SUCCESSOR = "awaiting successor"
    """The process died while its successor was loading; batches wait for the successor."""

    DRAINING = "draining"
    """The process finishes its last batches before it is replaced; new batches wait."""

    FAILED = "failed"
    """No process could be started; the next attempt comes after a pause."""

    RETRYING = "retrying"
    """Another start after a failed one; batches wait."""

    CLOSED = "closed"
    """The host was closed."""

    @property
    def available(self) -> bool:
        """Whether there is a process that answers batches."""
        return self in (HostState.SERVING, HostState.REPLACING, HostState.DRAINING)

    @property
    def failed(self) -> bool:
        """Whether the last start failed."""
        return self in (HostState.FAILED, HostState.RETRYING)


class HostEvent(Enum):
    """What happens to a host."""

    START = "start"
    """A process is being started and nothing else serves."""

    REPLACE = "replace"
    """A successor is being started beside the process."""

    DRAIN = "drain"
    """The process gets no more batches."""

    LOADED = "loaded"
    """The new process has loaded its models."""

    LOAD_FAILED = "load failed"
    """The new process could not load its models, or died meanwhile."""

    PROCESS_LOST = "process lost"
    """The process that serves has died or was killed."""

    DRAINED = "drained"
    """The process has answered its last batch and was stopped."""

    CLOSE = "close"
    """The host is being closed."""


TRANSITIONS: Final[Mapping[HostState, Mapping[HostEvent, HostState]]] = {
    HostState.DOWN: {
        HostEvent.START: HostState.STARTING,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.STARTING: {
        HostEvent.LOADED: HostState.SERVING,
        HostEvent.LOAD_FAILED: HostState.FAILED,
    },
    HostState.SERVING: {
        HostEvent.REPLACE: HostState.REPLACING,
        HostEvent.DRAIN: HostState.DRAINING,
        HostEvent.PROCESS_LOST: HostState.DOWN,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.REPLACING: {
        HostEvent.LOADED: HostState.SERVING,
        HostEvent.LOAD_FAILED: HostState.SERVING,
        HostEvent.PROCESS_LOST: HostState.AWAITING_SUCCESSOR,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.AWAITING_SUCCESSOR: {
        HostEvent.LOADED: HostState.SERVING,
        HostEvent.LOAD_FAILED: HostState.DOWN,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.DRAINING: {
        HostEvent.DRAINED: HostState.DOWN,
        HostEvent.PROCESS_LOST: HostState.DOWN,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.FAILED: {
        HostEvent.START: HostState.RETRYING,
        HostEvent.CLOSE: HostState.CLOSED,
    },
    HostState.RETRYING: {
        HostEvent.LOADED: HostState.SERVING,
        HostEvent.LOAD_FAILED: HostState.FAILED,
    },
    HostState.CLOSED: {},
}


class InvalidTransitionError(Exception):
    """An event that its state does not allow: a bug in the host."""


class HostLifecycle:
    """The state of one host. Not safe for threads: the host's lock guards it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = float("-inf")
        self.state = HostState.DOWN
        self.starts = 0
        """How many processes were started."""

    def apply(self, event: HostEvent) -> None:
        """Follow one event. Raises InvalidTransitionError."""
        following = TRANSITIONS[self.state].get(event)
        if following is None:
            raise InvalidTransitionError(f"a host that is {self.state.value} cannot {event.value}")
        self.state = following
        if event is HostEvent.START:
            self._started_at = self._clock()
        if event in (HostEvent.START, HostEvent.REPLACE):
            self.starts += 1

    @property
    def may_start(self) -> bool:
        """Whether a process may be started now: there is none, and a failed start is long enough ago."""
        return self.state is HostState.DOWN or (
            self.state is HostState.FAILED and self._clock() - self._started_at >= RETRY_PAUSE
        )
