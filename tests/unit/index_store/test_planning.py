"""The plan of rewrites, followed in imagination: it ends, tiles the generations and keeps files few."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.gallery import Segment
from index_store.planning import Rewrite, SealingPolicy, Unsealed, plan, tier

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = SealingPolicy(delta_rows=100, fan_in=4, max_rows=10_000)


def segment(low: int, high: int, rows: int) -> Segment:
    return Segment(
        id=f"{low}-{high}",
        low=low,
        high=high,
        rows=rows,
        kind="exact",
        file="file",
        bytes=1,
        sha256="",
        recall=1.0,
        created_at=NOW,
    )


def unsealed(rows: int, low: int, high: int, age: float = 0) -> Unsealed:
    return Unsealed(rows=rows, low=low, high=high, oldest=NOW - timedelta(seconds=age) if rows else None)


def followed(segments: list[Segment], rewrite: Rewrite, rows: int = 0) -> list[Segment]:
    """The segments after the rewrite, without their removed rows."""
    covered = [one for one in segments if rewrite.low <= one.low and one.high <= rewrite.high]
    rows += sum(one.rows - one.dead for one in covered)
    kept = [one for one in segments if one not in covered]
    return sorted([*kept, segment(rewrite.low, rewrite.high, rows)], key=lambda one: one.low)


def test_nothing_is_sealed_before_it_is_many_or_old() -> None:
    assert plan([], unsealed(99, 0, 5, age=59), POLICY, NOW) is None
    assert plan([], unsealed(0, 0, 5), POLICY, NOW) is None
    removed = Unsealed(rows=0, dead=1, low=0, high=5, oldest=NOW - timedelta(seconds=60))
    assert plan([], removed, POLICY, NOW) == Rewrite(low=0, high=5, reason="seal")
    assert plan([], unsealed(100, 0, 5), POLICY, NOW) == Rewrite(low=0, high=5, reason="seal")
    assert plan([], unsealed(1, 0, 5, age=60), POLICY, NOW) == Rewrite(low=0, high=5, reason="seal")


def test_a_purge_comes_before_everything_but_damage() -> None:
    old = replace(segment(0, 3, 50), dead=1, oldest_removal=NOW - timedelta(hours=24))
    broken = replace(segment(3, 6, 50), damaged=True)
    waiting = unsealed(1000, 6, 9)
    assert plan([old, broken], waiting, POLICY, NOW) == Rewrite(low=3, high=6, reason="damage")
    assert plan([old], waiting, POLICY, NOW) == Rewrite(low=0, high=3, reason="purge")
    young = replace(old, oldest_removal=NOW - timedelta(hours=23))
    assert plan([young], waiting, POLICY, NOW) == Rewrite(low=6, high=9, reason="seal")


def test_a_fifth_of_removed_rows_is_enough_to_write_anew() -> None:
    assert plan([replace(segment(0, 3, 100), dead=19)], unsealed(0, 3, 3), POLICY, NOW) is None
    found = plan([replace(segment(0, 3, 100), dead=20)], unsealed(0, 3, 3), POLICY, NOW)
    assert found == Rewrite(low=0, high=3, reason="tombstones")


def test_a_merge_never_passes_the_largest_segment() -> None:
    segments = [segment(number, number + 1, 3000) for number in range(8)]
    assert plan(segments, unsealed(0, 8, 8), POLICY, NOW) is None


def test_tiers_grow_by_the_fan_in() -> None:
    assert [tier(rows, POLICY) for rows in (0, 100, 101, 400, 401, 1600, 1601)] == [0, 0, 1, 1, 2, 2, 3]


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=120), st.data())
def test_following_the_plan_ends_tiles_and_keeps_segments_few(
    appends: list[int], data: st.DataObject
) -> None:
    segments: list[Segment] = []
    sealed = waiting = 0
    for generation, rows in enumerate(appends, start=1):
        waiting += rows
        for _ in range(50):
            rewrite = plan(segments, unsealed(waiting, sealed, generation), POLICY, NOW)
            if rewrite is None:
                break
            fresh = waiting if rewrite.high > sealed else 0
            segments = followed(segments, rewrite, fresh)
            if fresh:
                sealed, waiting = generation, 0
        else:
            raise AssertionError("the plan does not end")
        victim = data.draw(st.integers(0, 2 * len(segments)))
        if victim < len(segments):
            segments[victim] = replace(segments[victim], dead=segments[victim].rows // 3)
    bounds = [0, *(one.high for one in segments)]
    assert bounds[:-1] == [one.low for one in segments]
    small = [one for one in segments if tier(one.rows, POLICY) < tier(POLICY.max_rows // 4, POLICY)]
    assert len(small) <= 4 * (tier(POLICY.max_rows, POLICY) + 1)
