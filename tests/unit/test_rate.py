"""`Rate`: no window has more starts than it says, and none is refused that it allows."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.domain.rate import Rate

NOW = 1_750_000_000 * 10**6  # microseconds: as large as stores have them
SLACK = 1e-3  # starts: what rounding at such times comes to

rates = st.builds(
    Rate,
    starts=st.sampled_from([0.5, 1.0, 3.0, 100.0, 1_000.0]),
    interval=st.sampled_from([1e5, 1e6, 6e7]),
    burst=st.sampled_from([1.0, 2.0, 2.5, 10.0]),
)
steps = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 5)), min_size=1, max_size=30)


def play(rate: Rate, steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The moments at which how many started, of those who asked for so many."""
    arrival, now, starts = 0.0, NOW, []
    for pause, asked in steps:
        now += pause
        number = min(asked, rate.allowed(arrival, now))
        arrival = rate.after(arrival, now, number)
        starts.append((now, number))
    return starts


@given(rates, steps)
def test_no_window_has_more_starts_than_the_rate_says(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    starts = play(rate, steps)
    for first, (begin, _) in enumerate(starts):
        for last in range(first, len(starts)):
            number = sum(count for _, count in starts[first : last + 1])
            window = starts[last][0] - begin
            assert number <= rate.burst + rate.starts * window / rate.interval + SLACK


@given(rates, steps)
def test_what_it_says_is_when_it_opens(rate: Rate, steps: list[tuple[int, int]]) -> None:
    arrival, now = 0.0, NOW
    for pause, _ in steps:
        now += pause
        opens = rate.opens_in(arrival, now)
        assert opens is not None
        assert (rate.allowed(arrival, now) > 0) == (opens < 1)
        assert rate.allowed(arrival, now + opens + 1) >= 1
        arrival = rate.after(arrival, now, rate.allowed(arrival, now))


@given(rates, st.integers(0, 10**6))
def test_a_claim_that_was_handed_back_costs_the_time_that_it_was_held(
    rate: Rate, held: int
) -> None:
    arrival = rate.after(0.0, NOW, 1)
    taken = rate.after(arrival, NOW, 1)
    assert abs(rate.refunded(taken, 0) - arrival) < 1
    assert rate.refunded(taken, held) == pytest.approx(min(taken, arrival + held))


calls = st.lists(st.tuples(st.integers(0, 2_000_000), st.booleans()), min_size=1, max_size=30)


@given(rates, calls, st.randoms(use_true_random=False))
def test_claims_that_were_handed_back_let_no_window_have_more_starts(
    rate: Rate, calls: list[tuple[int, bool]], random: Random
) -> None:
    arrival, now, held, starts = 0.0, NOW, list[int](), list[int]()
    for pause, hands_back in calls:
        now += pause
        if hands_back and held:
            claimed = held.pop(random.randrange(len(held)))
            arrival = rate.refunded(arrival, now - claimed)
        elif rate.allowed(arrival, now):
            arrival = rate.after(arrival, now, 1)
            (held if random.random() < 0.5 else starts).append(now)
    starts = sorted(starts + held)
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            window = starts[last] - begin
            number = last - first + 1
            assert number <= rate.burst + rate.starts * window / rate.interval + SLACK


def test_a_rate_of_zero_allows_nothing_ever() -> None:
    rate = Rate(starts=0.0, interval=1e6, burst=1.0)
    assert (rate.allowed(0.0, NOW), rate.opens_in(0.0, NOW)) == (0, None)


@given(rates)
def test_a_clock_that_was_set_back_closes_it_for_no_longer_than_a_full_burst(rate: Rate) -> None:
    ahead = NOW + 10**14
    arrival = rate.after(0.0, ahead, rate.allowed(0.0, ahead))
    arrival = rate.bounded(arrival, NOW)
    opens = rate.opens_in(arrival, NOW)
    assert opens is not None
    assert opens <= rate.gap + 1
    assert rate.allowed(arrival, NOW + rate.gap + 1) >= 1
