"""Which runs of generations to write anew, and why: decided from the segments alone, without any effect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

from index_store.gallery import Segment

Reason = Literal["seal", "merge", "tombstones", "purge", "damage", "asked"]


@dataclass(frozen=True, kw_only=True)
class SealingPolicy:
    """When segments are written.

    `delta_rows`: rows that no segment holds are sealed at this many, or when the oldest is `idle` old.
    `fan_in`: so many adjacent segments of a tier become one, up to `max_rows`. A segment is written anew
    at `dead_share` of removed rows, or when its oldest removal is `purge_after` old. A dropped file is
    deleted `grace` later, which has to be longer than a reader takes to open the files of a snapshot.
    So an erased embedding is out of every file within `purge_after` + `grace` + one round of maintenance.
    """

    delta_rows: int = 4096
    idle: timedelta = timedelta(seconds=60)
    fan_in: int = 8
    max_rows: int = 1_000_000
    dead_share: float = 0.2
    purge_after: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(minutes=10)
    lost_after: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Write the generations above `low` up to `high` as one segment in place of those it covers."""

    low: int
    high: int
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Unsealed:
    """The rows that no segment holds: how many are live, up to which generation, and since when.

    `dead` counts the removed ones, which readers keep in memory until they are sealed away.
    """

    rows: int
    dead: int = 0
    low: int
    high: int
    oldest: datetime | None


def plan(
    segments: Sequence[Segment], unsealed: Unsealed, policy: SealingPolicy, now: datetime
) -> Rewrite | None:
    """The most urgent rewrite, or None. Asking again after each one ends: every rewrite leaves less to do."""
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


def _damaged(segments: Sequence[Segment]) -> Iterator[Rewrite]:
    for segment in segments:
        if segment.damaged:
            yield Rewrite(low=segment.low, high=segment.high, reason="damage")


def _purges(segments: Sequence[Segment], policy: SealingPolicy, now: datetime) -> Iterator[Rewrite]:
    for segment in segments:
        if segment.oldest_removal is not None and now - segment.oldest_removal >= policy.purge_after:
            yield Rewrite(low=segment.low, high=segment.high, reason="purge")


def _seal(unsealed: Unsealed, policy: SealingPolicy, now: datetime) -> Iterator[Rewrite]:
    idle = unsealed.oldest is not None and now - unsealed.oldest >= policy.idle
    if unsealed.rows + unsealed.dead >= policy.delta_rows or (unsealed.rows + unsealed.dead and idle):
        yield Rewrite(low=unsealed.low, high=unsealed.high, reason="seal")


def _tombstones(segments: Sequence[Segment], policy: SealingPolicy) -> Iterator[Rewrite]:
    for segment in segments:
        if segment.dead and segment.dead >= policy.dead_share * segment.rows:
            yield Rewrite(low=segment.low, high=segment.high, reason="tombstones")


def _merges(segments: Sequence[Segment], policy: SealingPolicy) -> Iterator[Rewrite]:
    """Runs of adjacent segments of at most one tier, the lowest tier first."""
    tiers = [tier(segment.rows, policy) for segment in segments]
    for level in sorted(set(tiers)):
        start = 0
        while start < len(segments):
            end = _run_end(segments, tiers, start, level, policy)
            if end - start >= policy.fan_in:
                yield Rewrite(low=segments[start].low, high=segments[end - 1].high, reason="merge")
            start = max(end, start + 1)


def _run_end(
    segments: Sequence[Segment], tiers: Sequence[int], start: int, level: int, policy: SealingPolicy
) -> int:
    rows, end = 0, start
    while end < len(segments) and end - start < policy.fan_in and tiers[end] <= level:
        rows += segments[end].rows
        if rows > policy.max_rows:
            break
        end += 1
    return end
