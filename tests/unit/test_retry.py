"""When a failed attempt runs again."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.client.tasks import task
from asyncmqd.domain.retry import (
    DEFAULT_BACKOFF,
    Custom,
    Exponential,
    Fixed,
    Retry,
    backoff,
    exceptions,
)

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
    assert Custom(lambda *_: timedelta(minutes=1)).pause(1, BOOM, 0.5) == 60


@pytest.mark.parametrize("answer", [None, -1, math.nan, math.inf, "soon"])
def test_what_a_function_returns_is_seconds(answer: Any) -> None:
    with pytest.raises(ValueError, match="backoff: expected seconds"):
        Custom(lambda *_: answer).pause(1, BOOM, 0.5)


def test_what_backoff_means() -> None:
    own = Exponential(base=9)
    assert backoff(None) == DEFAULT_BACKOFF
    assert backoff(5) == Fixed(5.0)
    assert backoff(0.5) == Fixed(0.5)
    assert backoff(own) is own
    assert backoff("5m") == backoff(timedelta(minutes=5)) == Fixed(300.0)
    assert backoff(math.pow).pause.__self__.function is math.pow
    assert Exponential(base="1s", cap="1h") == Exponential(base=1.0, cap=3_600.0)


@pytest.mark.parametrize("value", [-1, -0.001, math.inf, math.nan])
def test_no_pause_is_negative_or_without_end(value: float) -> None:
    with pytest.raises(ValueError, match="backoff: expected seconds "):
        backoff(value)


@pytest.mark.parametrize("value", [True, [1], object(), float])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="backoff: expected seconds, Fixed, Exponential or"):
        backoff(value)


def test_retry_carries_its_message_and_its_pause() -> None:
    assert (str(Retry("busy", after=3)), Retry("busy", after=3).after) == ("busy", 3)
    assert Retry(after="5m").after == Retry(after=timedelta(minutes=5)).after == 300
    assert (Retry().after, Retry(after=-1).after) == (None, -1)


@pytest.mark.parametrize("after", [math.nan, math.inf, "soon", True, 10**400])
def test_a_retry_after_no_time_at_all_is_refused_where_it_is_written(after: object) -> None:
    with pytest.raises(ValueError, match="after: expected seconds "):
        Retry(after=after)


async def in_vain(failures: int, error: BaseException) -> float:
    return 1.0


@pytest.mark.parametrize("function", [len, in_vain, lambda: 1, lambda failures: 1])
def test_a_function_that_cannot_be_a_backoff_is_refused_at_the_task(function: Any) -> None:
    with pytest.raises(
        TypeError, match=r"backoff: expected a plain function of \(failures, error\)"
    ):
        task(name="retry.backoff", backoff=function)(test_what_backoff_means)


@pytest.mark.parametrize(
    ("declare", "problem"),
    [
        (lambda: Fixed("soon"), "delay: expected seconds "),  # type: ignore[arg-type]
        (lambda: Fixed(-1), "delay: expected seconds "),
        (lambda: Exponential(base=math.nan), "base: expected seconds "),
        (lambda: Exponential(factor=-2), "factor: expected a number "),
        (lambda: Exponential(cap="4000d"), "cap: expected seconds "),  # type: ignore[arg-type]
    ],
)
def test_a_policy_out_of_range_is_refused_where_it_is_made(declare: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        declare()


def test_exceptions_may_come_in_any_iterable() -> None:
    assert exceptions("retry_on", OSError) == (OSError,)
    assert exceptions("retry_on", [OSError, ValueError]) == (OSError, ValueError)
    assert set(exceptions("retry_on", {OSError, ValueError})) == {OSError, ValueError}
    assert exceptions("retry_on", ()) == ()
    declared = task(name="retry.listed", retry_on=[OSError])(test_what_backoff_means)
    assert declared.definition.options.retry_on == (OSError,)


@pytest.mark.parametrize("value", ["OSError", ["OSError"], 5, None, int, [OSError()], [(OSError,)]])
@pytest.mark.parametrize("option", ["retry_on", "dont_retry_on"])
def test_what_is_no_exception_type_is_refused_at_the_task(option: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{option}: expected exception types, got "):
        task(name="retry.refused", **{option: value})(test_what_backoff_means)
