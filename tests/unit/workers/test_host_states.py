"""The states of a model host, without a process."""

from itertools import product

import pytest

from workers.inference.host_states import (
    RETRY_PAUSE,
    TRANSITIONS,
    HostEvent,
    HostLifecycle,
    HostState,
    InvalidTransitionError,
)


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def after(*events: HostEvent, clock: Clock | None = None) -> HostLifecycle:
    lifecycle = HostLifecycle(clock=clock or Clock())
    for event in events:
        lifecycle.apply(event)
    return lifecycle


SERVING = (HostEvent.START, HostEvent.LOADED)


def test_a_new_host_is_down_until_a_process_has_loaded_its_models() -> None:
    assert after().state is HostState.DOWN
    assert after(HostEvent.START).state is HostState.STARTING
    assert after(*SERVING).state is HostState.SERVING


def test_a_process_serves_while_its_successor_loads_and_stays_if_that_fails() -> None:
    assert after(*SERVING, HostEvent.REPLACE).state.available
    assert after(*SERVING, HostEvent.REPLACE, HostEvent.LOADED).state is HostState.SERVING
    assert after(*SERVING, HostEvent.REPLACE, HostEvent.LOAD_FAILED).state is HostState.SERVING


def test_batches_wait_for_the_successor_of_a_process_that_died() -> None:
    orphaned = (*SERVING, HostEvent.REPLACE, HostEvent.PROCESS_LOST)
    assert not after(*orphaned).state.available
    assert not after(*orphaned).may_start
    assert after(*orphaned, HostEvent.LOADED).state is HostState.SERVING
    assert after(*orphaned, HostEvent.LOAD_FAILED).state is HostState.DOWN


@pytest.mark.parametrize("end", [HostEvent.DRAINED, HostEvent.PROCESS_LOST])
def test_a_drained_process_makes_way_for_the_next_one(end: HostEvent) -> None:
    assert after(*SERVING, HostEvent.DRAIN).state.available
    assert after(*SERVING, HostEvent.DRAIN, end).may_start


def test_a_failed_start_is_tried_again_after_a_pause() -> None:
    clock = Clock()
    lifecycle = after(HostEvent.START, HostEvent.LOAD_FAILED, clock=clock)
    assert lifecycle.state.failed
    assert not lifecycle.may_start
    clock.now += RETRY_PAUSE
    assert lifecycle.may_start


def test_a_host_stays_failed_until_a_process_has_loaded() -> None:
    lifecycle = after(HostEvent.START, HostEvent.LOAD_FAILED, HostEvent.START)
    assert lifecycle.state.failed
    lifecycle.apply(HostEvent.LOADED)
    assert not lifecycle.state.failed


def test_every_process_that_is_started_counts() -> None:
    assert after(*SERVING, HostEvent.REPLACE, HostEvent.LOADED).starts == 2
    assert after(HostEvent.START, HostEvent.LOAD_FAILED, HostEvent.START).starts == 2


@pytest.mark.parametrize(("state", "event"), list(product(HostState, HostEvent)))
def test_only_the_transitions_of_the_table_are_possible(state: HostState, event: HostEvent) -> None:
    lifecycle = after()
    lifecycle.state = state
    following = TRANSITIONS[state].get(event)
    if following is None:
        with pytest.raises(InvalidTransitionError):
            lifecycle.apply(event)
        assert lifecycle.state is state
    else:
        lifecycle.apply(event)
        assert lifecycle.state is following


def test_every_state_can_be_reached_and_only_a_closed_host_stays_as_it_is() -> None:
    reached = {HostState.DOWN}
    while len(reached) < len(found := reached.union(*(TRANSITIONS[state].values() for state in reached))):
        reached = found
    assert reached == set(HostState)
    assert [state for state in HostState if not TRANSITIONS[state]] == [HostState.CLOSED]
