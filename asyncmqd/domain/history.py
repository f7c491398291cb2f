"""What happened to a queue, minute by minute: how minutes are cut, added up and read.

Durations are kept as log-linear histograms: each octave of microseconds is cut into four buckets of
the same width, the way of Gil Tene's HdrHistogram (http://hdrhistogram.org) with two bits of
precision. Two histograms are added bucket by bucket, in any order. A quantile is told as the middle
of its bucket, which is wrong by less than 12.5 %; below 8 microseconds buckets are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat, zip_longest
from typing import Literal

import msgspec

from asyncmqd.domain.states import TERMINAL, State

MINUTE = 60.0  # seconds
MINUTES_KEPT = 90  # that stand alone
HALF_HOUR = 30  # minutes that older ones are joined to
KEPT = 48 * 60  # minutes after which all is forgotten
PRIORITIES = 16  # in which the oldest job is looked for

Count = Literal[
    "added", "started", "completed", "failed", "retried", "expired", "cancelled", "recovered"
]

COUNTS: tuple[Count, ...] = (
    "added",
    "started",
    "completed",
    "failed",
    "retried",
    "expired",
    "cancelled",
    "recovered",
)
"""What is counted in a period, in the order of `Period.counts`."""

LEVELS = ("waiting", "delayed", "active", "failed", "oldest")
"""How full a queue is at the end of a minute, in the order of `Period.levels`: jobs, and for how
many seconds the oldest of those that run next has waited, a delay included."""

# ---------------------------------------------------------------------- histograms


def bucket_of(micros: int) -> int:
    """The number of the bucket that a duration belongs to."""
    shift = micros.bit_length() - 3
    return (shift << 2) + (micros >> shift) if shift > 0 else max(micros, 0)


def least_of(bucket: int) -> int:
    """The shortest duration of a bucket, in microseconds."""
    if bucket < 8:
        return bucket
    shift = (bucket >> 2) - 1
    return (bucket - (shift << 2)) << shift


def middle_of(bucket: int) -> float:
    """The duration that stands for all of a bucket, in seconds."""
    if bucket < 8:
        return bucket / 1e6
    shift = (bucket >> 2) - 1
    return float((bucket - (shift << 2) + 0.5) * (1 << shift) / 1e6)


Histogram = Sequence[int]
"""Numbers of buckets, rising, each with how many durations it has: `[36, 5, 40, 1]`."""


def histogram(counts: Mapping[int, int]) -> list[int]:
    """How many durations each bucket has, as one."""
    return [*chain.from_iterable(sorted(counts.items()))]


def together(one: Histogram, other: Histogram) -> list[int]:
    """Both as one."""
    counts = dict(zip(one[::2], one[1::2], strict=True))
    for bucket, count in zip(other[::2], other[1::2], strict=True):
        counts[bucket] = counts.get(bucket, 0) + count
    return histogram(counts)


def quantile(durations: Histogram, part: float) -> float | None:
    """The duration that `part` of all do not exceed, in seconds; None: there are none."""
    rest = part * sum(durations[1::2])
    for bucket, count in zip(durations[::2], durations[1::2], strict=True):
        rest -= count
        if rest <= 0:
            return middle_of(bucket)
    return None


# ---------------------------------------------------------------------- periods


class Period(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A minute of a queue, or several joined to one."""

    minute: int  # the first, counted from the Unix epoch
    counts: list[int] = []  # see COUNTS; missing ones are 0
    levels: list[int] = []  # see LEVELS; of several minutes the highest. Empty: nobody looked
    waits: list[int] = []  # from the enqueue of a job to the start of its first attempt
    runs: list[int] = []  # of all runs that ended

    def __bool__(self) -> bool:
        """Whether there is anything to tell of it."""
        return any(self.counts) or any(self.levels) or bool(self.waits or self.runs)

    @property
    def by_name(self) -> dict[Count, int]:
        """What is counted, by COUNTS."""
        return dict(zip(COUNTS, chain(self.counts, repeat(0)), strict=False))

    def count(self, name: Count) -> int:
        """How often that happened."""
        return self.by_name[name]


def joined(one: Period, other: Period) -> Period:
    """Both as one period, which begins with the earlier one. In any order it comes to the same."""
    return Period(
        min(one.minute, other.minute),
        [a + b for a, b in zip_longest(one.counts, other.counts, fillvalue=0)],
        [max(a, b) for a, b in zip_longest(one.levels, other.levels, fillvalue=0)],
        together(one.waits, other.waits),
        together(one.runs, other.runs),
    )


def in_stretch(period: Period, length: int) -> Period:
    """The same as a part of its stretch of so many minutes."""
    return msgspec.structs.replace(period, minute=period.minute - period.minute % length)


class History(msgspec.Struct, frozen=True):
    """What a store has of a queue. Minutes in which nothing happened are left out."""

    now: float  # the store's clock
    minutes: list[Period]  # of the last hour and a half, in their order
    half_hours: list[Period]  # and of what was before

    @property
    def periods(self) -> list[tuple[int, Period]]:
        """Each with how many minutes it has at most, in their order."""
        return [(HALF_HOUR, each) for each in self.half_hours] + [
            (1, each) for each in self.minutes
        ]


# ---------------------------------------------------------------------- what a store counts itself

ENDED = tuple(sorted(map(str, TERMINAL)))
DELETED = "deleted"


class Totals(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of all jobs that a queue ever had, and the minute at whose end it was noted."""

    minute: int
    added: int = 0
    ended: list[int] = []  # how often a job has ended so, by ENDED


def totals(minute: int, places: Mapping[str, int], passed: Mapping[str, int]) -> Totals:
    """From the jobs in each place, and those that were there once.

    `passed` has how many jobs were deleted, and how many have left each ended place. So nothing is
    counted on the way of a job: what was added is what is there, and what is there no more.
    """
    ended = [places.get(place, 0) + passed.get(place, 0) for place in ENDED]
    return Totals(minute, sum(places.values()) + passed.get(DELETED, 0), ended)


def is_noted(before: Totals | None, minute: int, now: float) -> bool:
    """Whether somebody has noted already how full a queue was at the end of that minute."""
    if before is None or is_of_the_future(before.minute, now):
        return False
    return before.minute >= minute


def counts_since(before: Totals | None, now: Totals) -> list[int]:
    """`Period.counts` of what a store counts. Totals fall when a store is emptied."""
    known = before or Totals(0)
    then = [known.added, *known.ended] if known.ended else [0] * (1 + len(ENDED))
    pairs = zip(["added", *ENDED], then, [now.added, *now.ended], strict=True)
    found = {name: after - (was if was <= after else 0) for name, was, after in pairs}
    return [found.get(name, 0) for name in COUNTS]


def levels(places: Mapping[str, int], waiting: int, oldest: float) -> list[int]:
    """`Period.levels`; `waiting` are the jobs in all waiting places, `oldest` is in seconds."""
    others = (State.DELAYED, State.ACTIVE, State.FAILED)
    return [waiting, *(places.get(state, 0) for state in others), max(0, round(oldest))]


# ---------------------------------------------------------------------- when


def minute_over(now: float, noted: int | None) -> int | None:
    """The minute that is to be noted at this moment; None: the one that was noted last is the last.

    Nothing is noted of the minute before the first look.
    """
    last = minute_of(now) - 1
    return last if noted is not None and last > noted else None


def minute_of(now: float) -> int:
    """The minute of a moment in Unix seconds."""
    return int(now // MINUTE)


def is_of_the_future(minute: int, now: float) -> bool:
    """Whether a minute was noted by a clock that was set back since, by the store's time."""
    return minute > minute_of(now) + HALF_HOUR


def put(periods: list[Period], period: Period, now: float) -> None:
    """Join a period to those that are kept, which are in order; forget those of the future.

    Not by the time of the period: who was stopped for an hour may come with an old one.
    """
    later: list[Period] = []
    while periods and periods[-1].minute > period.minute:
        after = periods.pop()
        if not is_of_the_future(after.minute, now):
            later.append(after)
    if periods and periods[-1].minute == period.minute:
        period = joined(periods.pop(), period)
    periods += [period, *reversed(later)]


def roll_up(minutes: list[Period], half_hours: list[Period], minute: int, now: float) -> None:
    """Join what is too old to stand alone to half hours, and forget what is too old."""
    while minutes and minutes[0].minute <= minute - MINUTES_KEPT:
        put(half_hours, in_stretch(minutes.pop(0), HALF_HOUR), now)
    while half_hours and half_hours[0].minute <= minute - KEPT:
        half_hours.pop(0)
