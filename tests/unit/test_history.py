"""Minutes of a queue's past: buckets, adding up in any order, what is joined and forgotten."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.admin.history import stretches
from asyncmqd.domain.change import Change
from asyncmqd.domain.history import (
    COUNTS,
    HALF_HOUR,
    KEPT,
    LEVELS,
    MINUTES_KEPT,
    History,
    Period,
    bucket_of,
    histogram,
    joined,
    least_of,
    middle_of,
    minute_over,
    put,
    quantile,
    roll_up,
)
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Ended
from asyncmqd.observe.run_totals import Totals

NOW = 6e9  # seconds: long after all minutes of these tests
WEEK = 7 * 86_400 * 10**6  # microseconds

durations = st.lists(st.integers(0, WEEK), max_size=30)
small = st.integers(0, 1_000)


def of(micros: list[int]) -> list[int]:
    return histogram(Counter(map(bucket_of, micros)))


@st.composite
def periods(draw: st.DrawFn, minutes: int = 1) -> Period:
    """Of one of so many minutes."""
    return Period(
        100 + draw(st.integers(0, minutes - 1)),
        draw(st.just([]) | st.lists(small, min_size=len(COUNTS), max_size=len(COUNTS))),
        draw(st.just([]) | st.lists(small, min_size=len(LEVELS), max_size=len(LEVELS))),
        of(draw(durations)),
        of(draw(durations)),
    )


@given(st.integers(0, 2**52))
def test_a_bucket_stands_for_a_duration_to_an_eighth(micros: int) -> None:
    bucket = bucket_of(micros)
    assert abs(middle_of(bucket) * 1e6 - micros) <= micros / 8
    assert bucket_of(micros + 1) - bucket in {0, 1}


@given(st.integers(1, 200))
def test_a_bucket_begins_where_the_one_before_ends(bucket: int) -> None:
    assert bucket_of(least_of(bucket)) == bucket
    assert bucket_of(least_of(bucket) - 1) == bucket - 1


@given(st.permutations(range(6)), st.lists(periods(), min_size=6, max_size=6))
def test_in_any_order_and_grouping_it_comes_to_the_same(
    order: list[int], parts: list[Period]
) -> None:
    forwards = reduce(joined, parts)
    shuffled = [parts[each] for each in order]
    assert reduce(joined, shuffled) == forwards
    halves = reduce(joined, shuffled[:3]), reduce(joined, shuffled[3:])
    assert joined(*halves) == joined(*reversed(halves)) == forwards


@given(durations.filter(bool), st.floats(0.0, 1.0))
def test_a_quantile_is_wrong_by_an_eighth_at_most(micros: list[int], part: float) -> None:
    rank = max(1, -int(-part * len(micros) // 1))
    exact = sorted(micros)[rank - 1]
    found = quantile(of(micros), part)
    assert found is not None
    assert abs(found * 1e6 - exact) <= exact / 8
    assert quantile([], part) is None


@given(st.permutations([*range(100, 106), 100, 103]))
def test_periods_are_in_order_however_they_come(order: list[int]) -> None:
    kept: list[Period] = []
    for minute in order:
        put(kept, Period(minute, [1]), NOW)
    assert [(each.minute, each.counts) for each in kept] == [
        (minute, [1 + (minute in {100, 103})]) for minute in range(100, 106)
    ]


@given(
    st.lists(periods(MINUTES_KEPT + 100), max_size=10),
    st.integers(0, 50),
)
def test_nothing_is_lost_where_minutes_are_joined(parts: list[Period], ahead: int) -> None:
    minutes: list[Period] = []
    half_hours: list[Period] = []
    for each in sorted(parts, key=lambda each: each.minute):
        put(minutes, each, NOW)
        roll_up(minutes, half_hours, each.minute + ahead, NOW)
    expected = reduce(joined, parts, Period(0))
    assert reduce(joined, [*minutes, *half_hours], Period(0)) == expected
    assert all(each.minute % HALF_HOUR == 0 for each in half_hours)


def test_a_queue_without_a_past_has_no_stretches() -> None:
    assert stretches(History(NOW, [], []), 2) == []


@pytest.mark.parametrize("now", range(1_000, 1_000 + HALF_HOUR, 7))
@pytest.mark.parametrize("hours", [1, 2, 6, 48])
def test_stretches_of_a_steady_time_are_alike(now: int, hours: int) -> None:
    """Ten jobs in each minute: a half hour that has lost none of its minutes shows no less."""
    minutes: list[Period] = []
    half_hours: list[Period] = []
    for minute in range(300, now):
        put(minutes, Period(minute, [10]), NOW)
        roll_up(minutes, half_hours, minute, NOW)
    found = stretches(History(now * 60.0, minutes, half_hours), hours)
    ends = [part.minute + long for long, part in found]
    assert ends[:-1] == [part.minute for _, part in found[1:]]
    first, *whole, _ = found  # the last one has not ended
    assert {part.counts[0] / long for long, part in whole} <= {10.0}
    assert first[1].counts[0] <= 10 * first[0]


def test_what_is_too_old_is_forgotten() -> None:
    minutes, half_hours = [Period(10_000, [1])], [Period(30 * n, [1]) for n in range(300)]
    roll_up(minutes, half_hours, 10_000, NOW)
    assert [each.minute for each in minutes] == [10_000]
    assert half_hours[0].minute == (10_000 - KEPT) // 30 * 30 + 30


def test_a_minute_is_told_when_it_is_over() -> None:
    assert minute_over(6_000.0, None) is None
    assert minute_over(6_000.0, 99) is None
    assert minute_over(6_059.9, 98) == 99
    assert minute_over(6_060.0, 99) == 100
    assert minute_over(60_000.0, 99) == 999


def test_totals_are_taken_once() -> None:
    totals = Totals()
    claim = Claim(queue="mail", id="x", token=1, payload=b"", age=0.5)
    again = Claim(queue="mail", id="x", token=2, payload=b"", age=9.0, failures=1)
    early = Claim(queue="mail", id="x", token=2, payload=b"", age=-9.0)
    change = Change(queue="mail", id="x", edge="retry", token=1)
    for each in (claim, again, early):
        totals.begun["mail"].append(each)
    known = [(change, claim, 0.002), (change, again, 1e9)]
    unknown = [(change, again, None)]
    totals.changes({("mail", "retry", "t"): Ended(known), ("mail", "retry", ""): Ended(unknown)})
    waits = of([500_000, 0])
    assert dict(totals.take(7)) == {
        "mail": Period(7, [0, 3, 0, 0, 3, 0, 0, 0], [], waits, of([2_000, 10**15]))
    }
    assert dict(totals.take(8)) == {}
    totals.changes({("mail", "retry", "t"): Ended([(change, claim, 0.002)])})
    assert dict(totals.take(9)) == {
        "mail": Period(9, [0, 0, 0, 0, 1, 0, 0, 0], [], [], of([2_000]))
    }


def test_many_durations_are_sorted_together() -> None:
    totals = Totals()
    claim = Claim(queue="mail", id="x", token=1, payload=b"", age=0.25)
    change = Change(queue="mail", id="x", edge="complete", token=1)
    durations = [number / 1_000 for number in range(2_000)]
    for duration in durations:
        totals.begun["mail"].append(claim)
        totals.changes({("mail", "complete", "t"): Ended([(change, claim, duration)])})
    [(_, found)] = totals.take(7)
    assert found.waits == of([250_000] * 2_000)
    assert found.runs == of([int(each * 1e6) for each in durations])
