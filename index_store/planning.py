"""Decide which runs of generations to rewrite, and why, from the state of the segments alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

from index_store.gallery import Segment

_PURGE_MARGIN = timedelta(hours=1)

Reason = Literal["seal", "merge", "tombstones", "purge", "damage", "asked"]


@dataclass(frozen=True, kw_only=True)
class SealingPolicy:
    """When segments are written.

    `delta_rows`: rows that no segment holds are sealed at this many, or when the oldest is `idle` old.
    `fan_in`: that many adjacent segments of a tier become one, of at most `max_rows`. A segment is rewritten
    at `dead_share` of removed rows, or when its oldest removal is `purge_begins` old. A dropped file is
    deleted `grace` later, which has to be longer than a reader takes to open the files of a snapshot.
    So an erased embedding is out of every file within `purge_after` + `grace`.
    """

    delta_rows: int = 4096
    idle: timedelta = timedelta(seconds=60)
    fan_in: int = 8
    max_rows: int = 1_000_000
    dead_share: float = 0.2
    purge_after: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(minutes=10)
    lost_after: timedelta = timedelta(hours=1)

    @property
    def purge_begins(self) -> timedelta:
        """The age of a removal at which its segment is rewritten.

        A tenth of `purge_after` before it, an hour at most: time for the rewrite and for the rounds of
        maintenance that it waits for.
        """
        return self.purge_after - min(self.purge_after / 10, _PURGE_MARGIN)


@dataclass(frozen=True, kw_only=True)
class SegmentRewrite:
    """Write the generations above `low` up to `high` as one segment in place of those it covers."""

    low: int
    high: int
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Unsealed:
    """The rows that no segment holds: how many are live, up to which generation, and since when.

    `dead` counts the removed ones, which readers keep in memory until they are sealed away. `full` says that
    later generations have rows too, which would make the segment larger than the largest.
    """

    rows: int
    dead: int = 0
    low: int
    high: int
    oldest: datetime | None
    full: bool = False


def plan(
    segments: Sequence[Segment], unsealed: Unsealed, policy: SealingPolicy, now: datetime
) -> SegmentRewrite | None:
    """The most urgent rewrite, or None. Every rewrite leaves less to do, so repeated planning ends."""
    wanted = chain(
        _damaged(segments),
        _purges(segments, policy, now),
        _seal(unsealed, policy, now),
        _tombstones(segments, policy),
        _merges(segments, policy),
    )
    return next(wanted, None)


def tier(rows: int, policy: SealingPolicy) -> int:
    """0 for a segment of up to one full delta, one more for each factor of `fan_in`."""
    found, limit = 0, policy.delta_rows
    while rows > limit:
        found, limit = found + 1, limit * policy.fan_in
    return found


def _damaged(segments: Sequence[Segment]) -> Iterator[SegmentRewrite]:
    for segment in segments:
        if segment.damaged:
            yield SegmentRewrite(low=segment.low, high=segment.high, reason="damage")


def _purges(segments: Sequence[Segment], policy: SealingPolicy, now: datetime) -> Iterator[SegmentRewrite]:
    for segment in segments:
        if segment.oldest_removal is not None and now - segment.oldest_removal >= policy.purge_begins:
            yield SegmentRewrite(low=segment.low, high=segment.high, reason="purge")


def _seal(unsealed: Unsealed, policy: SealingPolicy, now: datetime) -> Iterator[SegmentRewrite]:
    held = unsealed.rows + unsealed.dead
    idle = unsealed.oldest is not None and now - unsealed.oldest >= policy.idle
    if held >= policy.delta_rows or unsealed.full or (held and idle):
        yield SegmentRewrite(low=unsealed.low, high=unsealed.high, reason="seal")


def _tombstones(segments: Sequence[Segment], policy: SealingPolicy) -> Iterator[SegmentRewrite]:
    for segment in segments:
        if segment.dead and segment.dead >= policy.dead_share * segment.rows:
            yield SegmentRewrite(low=segment.low, high=segment.high, reason="tombstones")


def _merges(segments: Sequence[Segment], policy: SealingPolicy) -> Iterator[SegmentRewrite]:
    """Runs of adjacent segments of at most one tier, the lowest tier first."""
    tiers = [tier(segment.rows, policy) for segment in segments]
    for level in sorted(set(tiers)):
        for start in range(len(segments)):
            end = _run_end(segments, tiers, start, level, policy)
            if end is not None:
                yield SegmentRewrite(low=segments[start].low, high=segments[end - 1].high, reason="merge")


def _run_end(
    segments: Sequence[Segment], tiers: Sequence[int], start: int, level: int, policy: SealingPolicy
) -> int | None:
    """Where a run that is to be merged ends: when it is full, or has many parts of which none is most of it.

    A full run ends before the segment that it has no room for. It will never have more parts, as rows are
    only added at the end of a gallery, so that its rows are merged for the last time. Otherwise no part may
    be more than half of the run: a row is then merged no more often than its segment can double, and a
    trickle of small segments does not make a large one be written again and again. A segment below
    `delta_rows` weighs as much as one of it.
    """
    rows = weight = heaviest = 0
    for end in range(start, len(segments)):
        if tiers[end] > level:
            return None
        if rows + segments[end].rows > policy.max_rows:
            return end if end - start > 1 else None
        rows += segments[end].rows
        weight += max(segments[end].rows, policy.delta_rows)
        heaviest = max(heaviest, segments[end].rows, policy.delta_rows)
        if end + 1 - start >= policy.fan_in and 2 * heaviest <= weight:
            return end + 1
    return None
