"""The plan of rewrites, followed in imagination: it ends, tiles the generations and keeps files few."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log2

from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.gallery import Segment
from index_store.planning import SealingPolicy, SegmentRewrite, Unsealed, plan, tier

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


def followed(segments: list[Segment], rewrite: SegmentRewrite, rows: int = 0) -> list[Segment]:
    """The segments after the rewrite, without their removed rows."""
    covered = [one for one in segments if rewrite.low <= one.low and one.high <= rewrite.high]
    rows += sum(one.rows - one.dead for one in covered)
    kept = [one for one in segments if one not in covered]
    return sorted([*kept, segment(rewrite.low, rewrite.high, rows)], key=lambda one: one.low)


def settled(segments: list[Segment]) -> list[Segment]:
    """The segments after all merges."""
    while rewrite := plan(segments, unsealed(0, segments[-1].high, segments[-1].high), POLICY, NOW):
        segments = followed(segments, rewrite)
    return segments


def test_nothing_is_sealed_before_it_is_many_or_old() -> None:
    assert plan([], unsealed(99, 0, 5, age=59), POLICY, NOW) is None
    assert plan([], unsealed(0, 0, 5), POLICY, NOW) is None
    removed = Unsealed(rows=0, dead=1, low=0, high=5, oldest=NOW - timedelta(seconds=60))
    assert plan([], removed, POLICY, NOW) == SegmentRewrite(low=0, high=5, reason="seal")
    assert plan([], unsealed(100, 0, 5), POLICY, NOW) == SegmentRewrite(low=0, high=5, reason="seal")
    assert plan([], unsealed(1, 0, 5, age=60), POLICY, NOW) == SegmentRewrite(low=0, high=5, reason="seal")


def test_a_purge_comes_before_everything_but_damage() -> None:
    old = replace(segment(0, 3, 50), dead=1, oldest_removal=NOW - timedelta(hours=24))
    broken = replace(segment(3, 6, 50), damaged=True)
    waiting = unsealed(1000, 6, 9)
    assert plan([old, broken], waiting, POLICY, NOW) == SegmentRewrite(low=3, high=6, reason="damage")
    assert plan([old], waiting, POLICY, NOW) == SegmentRewrite(low=0, high=3, reason="purge")
    begins = replace(old, oldest_removal=NOW - timedelta(hours=23))
    assert plan([begins], waiting, POLICY, NOW) == SegmentRewrite(low=0, high=3, reason="purge")
    young = replace(old, oldest_removal=NOW - timedelta(hours=22, minutes=59))
    assert plan([young], waiting, POLICY, NOW) == SegmentRewrite(low=6, high=9, reason="seal")


def test_more_rows_than_a_segment_may_hold_are_sealed_at_once() -> None:
    waiting = replace(unsealed(10, 0, 5), full=True)
    assert plan([], waiting, POLICY, NOW) == SegmentRewrite(low=0, high=5, reason="seal")


@given(
    purge_hours=st.floats(0.5, 72),
    interval=st.floats(1, 60),
    building=st.floats(0, 60),
    removed_after=st.floats(0, 60),
)
def test_a_purge_is_over_when_the_receipt_says_that_it_is(
    purge_hours: float, interval: float, building: float, removed_after: float
) -> None:
    policy = SealingPolicy(purge_after=timedelta(hours=purge_hours))
    removed_at = NOW + timedelta(seconds=removed_after)
    purge_by = removed_at + policy.purge_after + policy.grace
    held = replace(segment(0, 3, 1000), dead=1, oldest_removal=removed_at)
    now, dropped_at = NOW, None
    while dropped_at is None:
        now += timedelta(seconds=interval)
        if plan([held], unsealed(0, 3, 3), policy, now):
            now += timedelta(seconds=building)
            dropped_at = now
    while now <= dropped_at + policy.grace:
        now += timedelta(seconds=interval)
    assert now <= purge_by


def test_a_fifth_of_removed_rows_is_enough_to_rewrite() -> None:
    assert plan([replace(segment(0, 3, 100), dead=19)], unsealed(0, 3, 3), POLICY, NOW) is None
    found = plan([replace(segment(0, 3, 100), dead=20)], unsealed(0, 3, 3), POLICY, NOW)
    assert found == SegmentRewrite(low=0, high=3, reason="tombstones")


def test_a_merge_never_passes_the_largest_segment() -> None:
    segments = [segment(number, number + 1, 3000) for number in range(8)]
    sizes = [one.rows for one in settled(segments)]
    assert sizes == [9000, 9000, 3000, 3000]


def test_a_segment_that_is_full_is_merged_no_more() -> None:
    segments = [segment(0, 1, 9990), segment(1, 2, 100), segment(2, 3, 9950)]
    assert settled(segments) == segments
    segments = [segment(0, 1, 4000), segment(1, 2, 300), segment(2, 3, 9000)]
    assert [one.rows for one in settled(segments)] == [4300, 9000]


def test_a_trickle_does_not_make_a_large_segment_be_written_again() -> None:
    small = [segment(number, number + 1, 1) for number in range(1, 4)]
    assert plan([segment(0, 1, 5000), *small], unsealed(0, 4, 4), POLICY, NOW) is None
    found = plan([segment(0, 1, 5000), *small, segment(4, 5, 1)], unsealed(0, 5, 5), POLICY, NOW)
    assert found == SegmentRewrite(low=1, high=5, reason="merge")


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
    rows = sum(one.rows for one in segments)
    assert len(segments) <= 2 * rows / POLICY.max_rows + 4 * (tier(POLICY.max_rows, POLICY) + 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 300) | st.integers(0, 12_000), min_size=1, max_size=100))
def test_rows_are_merged_no_more_often_than_segments_can_double(seals: list[int]) -> None:
    segments: list[Segment] = []
    paid = written = 0
    for generation, rows in enumerate(seals, start=1):
        segments.append(segment(generation - 1, generation, rows))
        paid += max(rows, POLICY.delta_rows)
        merged = settled(segments)
        written += sum(one.rows for one in merged if one not in segments)
        segments = merged
    doublings = log2(POLICY.max_rows / POLICY.delta_rows)
    assert written <= paid * (doublings + 3)
    assert len(segments) <= 2 * sum(seals) / POLICY.max_rows + 4 * (tier(POLICY.max_rows, POLICY) + 1)
