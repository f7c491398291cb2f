"""When a failed attempt runs again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.domain.retry import DEFAULT_BACKOFF, Custom, Exponential, Fixed, Retry, backoff

BOOM = OSError("boom")
draws = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)


def test_exponential_pauses_double_up_to_the_cap() -> None:
    policy = Exponential(base=1, factor=2, cap=10, jitter=False)
    pauses = [policy.pause(failures, BOOM, 0.5) for failures in range(1, 7)]
    assert pauses == [1, 2, 4, 8, 10, 10]


def test_jitter_is_drawn_between_nothing_and_the_full_pause() -> None:
    policy = Exponential(base=4, cap=100)
    assert policy.pause(1, BOOM, 0.0) == 0
    assert policy.pause(1, BOOM, 0.25) == 1
    assert policy.pause(2, BOOM, 0.5) == 4


def test_the_floor_holds_whatever_is_drawn() -> None:
    assert Exponential(base=4, floor=3).pause(1, BOOM, 0.0) == 3


@given(
    failures=attempts,
    draw=draws,
    base=st.floats(0, 1e6),
    factor=st.floats(1, 1e30) | st.integers(1, 10**30),
    cap=st.floats(0, 1e6),
)
def test_no_attempt_is_too_late_and_none_overflows(
    failures: int, draw: float, base: float, factor: float, cap: float
) -> None:
    pause = Exponential(base=base, factor=factor, cap=cap).pause(failures, BOOM, draw)
    assert 0 <= pause <= cap


@given(failures=attempts)
def test_the_default_stays_within_ten_minutes(failures: int) -> None:
    assert DEFAULT_BACKOFF.pause(failures, BOOM, 0.999) <= 600


def test_a_fixed_pause_is_the_same_each_time() -> None:
    assert {Fixed(3.0).pause(failures, BOOM, 0.1) for failures in (1, 2, 10_000)} == {3.0}


def test_a_function_gets_the_failures_and_the_error() -> None:
    seen: list[tuple[int, BaseException]] = []

    def linear(failures: int, error: BaseException) -> float:
        seen.append((failures, error))
        return 10 * failures

    assert Custom(linear).pause(3, BOOM, 0.5) == 30
    assert seen == [(3, BOOM)]
    assert Custom(lambda *_: -1).pause(1, BOOM, 0.5) == 0
    assert Custom(lambda *_: math.nan).pause(1, BOOM, 0.5) == 0


def test_what_backoff_means() -> None:
    own = Exponential(base=9)
    assert backoff(None) == DEFAULT_BACKOFF
    assert backoff(5) == Fixed(5.0)
    assert backoff(0.5) == Fixed(0.5)
    assert backoff(own) is own
    assert backoff(len).pause.__self__.function is len


@pytest.mark.parametrize("value", [-1, -0.001, math.inf, math.nan])
def test_no_pause_is_negative_or_without_end(value: float) -> None:
    with pytest.raises(ValueError, match="backoff: expected seconds of 0 or more"):
        backoff(value)


@pytest.mark.parametrize("value", ["5s", True, [1], object()])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="backoff: expected seconds, Fixed, Exponential or"):
        backoff(value)


def test_retry_carries_its_message_and_its_pause() -> None:
    assert (str(Retry("busy", after=3)), Retry("busy", after=3).after) == ("busy", 3)
    assert Retry().after is None


@pytest.mark.parametrize("after", [math.nan, math.inf, "5", True])
def test_a_retry_after_no_time_at_all_is_refused_where_it_is_written(after: object) -> None:
    with pytest.raises((TypeError, ValueError), match="after: expected seconds, got"):
        Retry(after=after)
