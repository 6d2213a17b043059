from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from local.member import FAILURES, LONGEST_DELAY_SECONDS, STEADY_SECONDS, Member, RestartPolicy
from local.processes import wait_until
from tests.unit.local.stand_ins import SHORT_LIVED, StandIn


def test_waits_grow_between_failures_up_to_a_limit_and_then_it_is_given_up() -> None:
    restarts = RestartPolicy()
    delays = [restarts.delay(lived=0.01) for _ in range(FAILURES + 1)]
    waits = [delay for delay in delays if delay is not None]
    assert delays[-1] is None
    assert len(waits) == restarts.total == FAILURES
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= LONGEST_DELAY_SECONDS


def test_a_steady_run_resets_the_count() -> None:
    restarts = RestartPolicy()
    first = restarts.delay(lived=0)
    for _ in range(FAILURES - 1):
        restarts.delay(lived=0)
    assert restarts.delay(lived=STEADY_SECONDS) == first
    assert restarts.delay(lived=0) is not None


@given(lives=st.lists(st.floats(0, 1000), max_size=60))
def test_a_service_is_given_up_exactly_when_it_fails_too_often_in_a_row(lives: list[float]) -> None:
    restarts, in_a_row = RestartPolicy(), 0
    for lived in lives:
        in_a_row = 1 if lived >= STEADY_SECONDS else in_a_row + 1
        assert (restarts.delay(lived) is None) == (in_a_row > FAILURES)


def test_a_member_becomes_ready_when_its_service_says_so(tmp_path: Path) -> None:
    member = Member(StandIn(tmp_path, "one"), tmp_path / "one.log")
    assert not member.became_ready()
    member.launch()
    try:
        assert wait_until(member.became_ready, 10)
        status = member.status()
        assert status.phase == "ready"
        assert status.process is not None
        assert status.seconds is not None
        assert member.exit_code() is None
    finally:
        member.ask_to_stop()
        assert member.finish()


def test_a_member_that_ended_waits_to_be_started_again(tmp_path: Path) -> None:
    member = Member(StandIn(tmp_path, "one", SHORT_LIVED), tmp_path / "one.log")
    member.launch()
    assert wait_until(lambda: member.exit_code() == 3, 10)
    assert member.plan_restart() is not None
    assert member.status().phase == "restarting"
    assert member.due is not None
    member.launch()
    assert not member.due
    assert member.status().restarts == 1
    member.finish()
