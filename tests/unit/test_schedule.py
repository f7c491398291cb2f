"""Which instants an `every` or a `cron` names, away from changes of the clock."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.domain.missed_instants import due
from asyncmqd.domain.schedule import (
    Repeatable,
    check,
    check_cron,
    check_timezone,
    count_instants,
    decode_schedule,
    jitter_of,
    latest_instants,
    local_time,
    next_instant,
    upcoming,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()  # a Tuesday
milliseconds = st.integers(0, 4_000_000_000_000).map(lambda count: count / 1_000)
periods = st.integers(10, 10_000_000).map(lambda count: count / 1_000) | st.sampled_from(
    [1 / 3, 0.0123456, 86_400.0, 8e8]
)


def every(period: float) -> Repeatable:
    return Repeatable(task="t", every=period)


def cron(expression: str, timezone: str = "UTC") -> Repeatable:
    return Repeatable(task="t", cron=expression, timezone=timezone)


def next_times(repeatable: Repeatable, count: int, after: float = NOON) -> list[str]:
    """The next instants as UTC text."""
    found = []
    for _ in range(count):
        after = next_instant(repeatable, after)
        found.append(datetime.fromtimestamp(after, UTC).strftime("%m-%d %H:%M:%S"))
    return found


# ---------------------------------------------------------------- every


def test_every_names_the_multiples_of_its_period() -> None:
    assert next_instant(every(300), NOON) == NOON + 300
    assert next_instant(every(300), NOON + 1) == NOON + 300
    assert next_instant(every(300), NOON - 1) == NOON
    assert next_instant(every(0.25), NOON + 0.1) == NOON + 0.25


@given(period=periods, after=milliseconds)
def test_the_next_instant_is_the_first_later_one(period: float, after: float) -> None:
    following = next_instant(every(period), after)
    assert after < following <= after + period + 0.0011
    assert following == round(following, 3), "stores keep milliseconds"


@given(period=periods, after=milliseconds)
def test_daemons_that_look_at_different_moments_agree(period: float, after: float) -> None:
    following = next_instant(every(period), after)
    between = round((after + following) / 2, 3)
    if between < following:
        assert next_instant(every(period), between) == following


@given(period=periods, now=milliseconds, ago=st.integers(0, 100_000))
def test_the_latest_instant_is_the_last_one_that_has_come(
    period: float, now: float, ago: int
) -> None:
    after = max(0.0, round(now - ago / 10, 3))
    latest = latest_instants(every(period), after, now, 3)
    number = count_instants(every(period), after, now)
    assert len(latest) == min(3, number)
    assert all(after < each <= now for each in latest)
    if number <= 3:
        assert latest == upcoming(every(period), after, number)
    assert next_instant(every(period), latest[-1] if latest else after) > now


# ---------------------------------------------------------------- cron


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * *", ["11-24 12:20:00", "11-24 12:40:00", "11-24 13:00:00"]),
        ("0 3 * * *", ["11-25 03:00:00", "11-26 03:00:00", "11-27 03:00:00"]),
        ("5,10 0-1 1 1 *", ["01-01 00:05:00", "01-01 00:10:00", "01-01 01:05:00"]),
        ("0 0 29 2 *", ["02-29 00:00:00", "02-29 00:00:00", "02-29 00:00:00"]),
        ("0 12 * * mon-wed", ["11-25 12:00:00", "11-30 12:00:00", "12-01 12:00:00"]),
        ("0 0 1 * 5", ["11-27 00:00:00", "12-01 00:00:00", "12-04 00:00:00"]),
        ("0 9-9 * * *", ["11-25 09:00:00", "11-26 09:00:00", "11-27 09:00:00"]),
        ("0 0 */2 * 1", ["12-07 00:00:00", "12-21 00:00:00", "01-11 00:00:00"]),
        ("0 0 1-31/2 * 1", ["11-25 00:00:00", "11-27 00:00:00", "11-29 00:00:00"]),
        ("0 12 * * FRI-MON", ["11-27 12:00:00", "11-28 12:00:00", "11-29 12:00:00"]),
        ("0 22-1 * * *", ["11-24 22:00:00", "11-24 23:00:00", "11-25 00:00:00"]),
        ("5/25 12 * * *", ["11-24 12:05:00", "11-24 12:30:00", "11-24 12:55:00"]),
        ("0 0 ? * 7", ["11-29 00:00:00", "12-06 00:00:00", "12-13 00:00:00"]),
        ("0 0 L * *", ["11-30 00:00:00", "12-31 00:00:00", "01-31 00:00:00"]),
        ("0 0 31W * *", ["11-30 00:00:00", "12-31 00:00:00", "01-29 00:00:00"]),
        ("0 0 1w 8 *", ["08-02 00:00:00", "08-01 00:00:00", "08-01 00:00:00"]),
        ("0 0 * * fri#3,L5", ["11-27 00:00:00", "12-18 00:00:00", "12-25 00:00:00"]),
        ("@hourly", ["11-24 13:00:00", "11-24 14:00:00", "11-24 15:00:00"]),
        ("@daily", ["11-25 00:00:00", "11-26 00:00:00", "11-27 00:00:00"]),
        ("@Monthly", ["12-01 00:00:00", "01-01 00:00:00", "02-01 00:00:00"]),
    ],
)
def test_five_fields_and_words(expression: str, expected: list[str]) -> None:
    assert check_cron(expression) == expression
    assert next_times(cron(expression), 3) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * * *", ["11-24 12:00:20", "11-24 12:00:40", "11-24 12:01:00"]),
        ("15 30 9 * * *", ["11-25 09:30:15", "11-26 09:30:15"]),
        ("30 */10 * * * *", ["11-24 12:00:30", "11-24 12:10:30", "11-24 12:20:30"]),
    ],
)
def test_of_six_fields_the_first_means_seconds(expression: str, expected: list[str]) -> None:
    assert check_cron(expression) == expression
    assert next_times(cron(expression), len(expected)) == expected


def test_the_zone_decides_what_three_o_clock_is() -> None:
    assert next_times(cron("0 3 * * *", "Asia/Tokyo"), 1) == ["11-24 18:00:00"]
    assert next_times(cron("0 3 * * *", "America/New_York"), 1) == ["11-25 08:00:00"]


@pytest.mark.parametrize(
    "expression",
    [
        "R * * * *",
        "* R * * *",
        "R(0-5) * * * *",
        "r/5 * * * *",
        "5,R * * * *",
        "H * * * *",
        "h(1-3) 2 * * *",
        "* * * *",
        "* * * * * * *",
        "",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 9",
        "*/0 * * * *",
        "a b c d e",
        "0 0 30 2 *",
        "@reboot",
        "@fortnightly",
        "* * * * * 61",
        5,
        None,
    ],
)
def test_expressions_that_we_cannot_keep_are_refused(expression: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_cron(expression)


@given(st.text("0123456789*/,-@RrHhLlWw#?() adefhimnorstuy", max_size=25))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        check_cron(text)
    except ValueError:
        return
    assert next_instant(cron(text), NOON) > NOON


def test_a_date_that_never_comes_is_refused_and_a_rare_one_is_not() -> None:
    for never in ("0 0 30 2 *", "0 0 31 4,6 *", "0 0 31W 2 *,13", "0 0 32 * *"):
        with pytest.raises(ValueError, match="expected"):
            check_cron(never)
    assert next_times(cron("0 0 29 2 */7"), 1) == ["02-29 00:00:00"], "a Sunday, in 2032"


def test_after_the_last_year_there_is_no_instant() -> None:
    assert next_instant(cron("0 0 1 1 *"), datetime(9999, 6, 1, tzinfo=UTC).timestamp()) == math.inf


def test_the_upcoming_instants_are_those_that_follow_each_other() -> None:
    assert upcoming(every(20.0), NOON + 5, 3) == [NOON + 20, NOON + 40, NOON + 60]
    assert upcoming(every(20.0), NOON, 0) == []


def test_an_instant_is_shown_on_the_clock_of_its_zone() -> None:
    assert local_time(cron("0 3 * * *", "Asia/Kolkata"), NOON) == "2026-11-24T17:30:00+05:30"
    assert local_time(every(0.25), NOON + 0.25) == "2026-11-24T12:00:00.250+00:00"
    autumn = cron("30 * * * *", "Europe/Lisbon")  # shows 01:30 twice that night, an hour apart
    twice = upcoming(autumn, datetime(2026, 10, 25, tzinfo=UTC).timestamp(), 2)
    assert [local_time(autumn, each) for each in twice] == [
        "2026-10-25T01:30:00+01:00",
        "2026-10-25T01:30:00+00:00",
    ]


def test_after_downtime_the_latest_missed_instant_fires() -> None:
    quarterly = cron("*/15 * * * *")
    assert due(quarterly, NOON - 3_000, NOON + 60) == ([NOON], NOON, {"missed": 3})
    assert due(quarterly, NOON, NOON + 60) is None
    assert due(quarterly, NOON - 1, NOON) == ([NOON], NOON, {}), "now is not too early"


HOUR = 3_600.0
EIGHT = [NOON - number * 900 for number in range(7, -1, -1)]


@pytest.mark.parametrize("kind", [{"cron": "*/15 * * * *"}, {"every": 900.0}])
@pytest.mark.parametrize(
    ("keys", "late", "fires", "skipped"),
    [
        ({}, 60, [NOON], {"late": 4, "missed": 3}),
        ({}, HOUR + 1, [NOON + HOUR], {"late": 8, "missed": 3}),
        ({"catch_up": 0.0}, 9, [NOON], {"late": 7}),
        ({"catch_up": 0.0}, 11, [], {"late": 8}),
        ({"missed": "skip"}, 9, [NOON], {"late": 4, "missed": 3}),
        ({"missed": "skip"}, 11, [], {"late": 4, "missed": 4}),
        ({"missed": "all", "catch_up": HOUR / 2 + 120}, 60, EIGHT[-3:], {"late": 5}),
        ({"missed": "all", "catch_up": 3 * HOUR}, 60, EIGHT, {}),
    ],
)
def test_the_policy_names_what_fires_and_the_rest_is_counted(
    kind: dict[str, Any], keys: dict[str, Any], late: float, fires: list[float], skipped: Any
) -> None:
    schedule = check(Repeatable(task="t", **kind, **keys))
    until = NOON + late // 900 * 900
    assert due(schedule, NOON - 2 * HOUR, NOON + late) == (fires, until, skipped)


@pytest.mark.parametrize("kind", [{"cron": "* * * * * *"}, {"every": 1.0}])
def test_all_makes_up_for_a_thousand_and_years_are_not_walked(kind: dict[str, Any]) -> None:
    found = due(Repeatable(task="t", missed="all", catch_up=2e9, **kind), NOON - 1_500, NOON)
    assert found == ([NOON - n for n in range(999, -1, -1)], NOON, {"missed": 500})
    found = due(Repeatable(task="t", **kind), 0.0, NOON)
    assert found is not None
    assert found.instants == [NOON]


@given(
    st.sampled_from([{"cron": "*/20 * * * *"}, {"every": 1_200.0}]),
    st.sampled_from(["skip", "once", "all"]),
    st.floats(0, 2 * HOUR),
    st.lists(st.floats(0.01, 20_000.0), min_size=1, max_size=5),
)
def test_each_instant_fires_or_is_counted_whenever_somebody_looks(
    kind: dict[str, Any], missed: Any, catch_up: float, pauses: list[float]
) -> None:
    schedule = Repeatable(task="t", missed=missed, catch_up=catch_up, **kind)
    last = now = NOON + 1
    done = 0
    for pause in pauses:
        now += pause
        if (found := due(schedule, last, now)) is not None:
            done += len(found.instants) + sum(found.skipped.values())
            last = found.until
    assert done == math.floor((now - NOON) / 1_200)


# ---------------------------------------------------------------- keys about instants


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize("kind", [{"cron": "*/5 * * * *"}, {"every": 300.0}])
def test_start_and_end_are_the_first_and_the_last_that_may_fire(kind: dict[str, Any]) -> None:
    bounds = {"start": moment(NOON + 300), "end": moment(NOON + 900)}
    schedule = check(Repeatable(task="t", catch_up=7_200.0, missed="all", **kind, **bounds))
    expected = [NOON + 300, NOON + 600, NOON + 900]
    assert upcoming(schedule, NOON - 86_400, 9) == expected
    assert next_instant(schedule, NOON + 900) == math.inf
    assert count_instants(schedule, 0.0, NOON + 1e6) == 3
    assert due(schedule, NOON, NOON + 3_600) == (expected, NOON + 900, {})
    assert due(schedule, NOON + 900, NOON + 3_600) is None
    off = msgspec.structs.replace(schedule, enabled=False)
    assert (upcoming(off, 0.0, 1), count_instants(off, 0.0, NOON * 2)) == ([], 0)
    assert due(off, NOON, NOON + 3_600) is None


def test_jitter_is_the_same_for_all_who_ask_and_differs_by_schedule_and_instant() -> None:
    first, second = (check(Repeatable(task=each, every=60, jitter="30s")) for each in "ab")
    instants = [NOON + 60 * number for number in range(1_000)]
    shares = [jitter_of(first, "q", each) for each in instants]
    assert shares == [
        jitter_of(decode_schedule(msgspec.json.encode(first)), "q", each) for each in instants
    ]
    assert len(set(shares)) > 990
    assert 0 <= min(shares) < 1
    assert 29 < max(shares) < 30
    assert jitter_of(first, "q", NOON) != jitter_of(second, "q", NOON)
    assert jitter_of(first, "q", NOON) != jitter_of(first, "other", NOON)
    assert jitter_of(first, "q", NOON) == pytest.approx(22.18187836582465), (
        "also in a later release"
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"every": 5, "jitter": 5}, "jitter: expected less than the 5 s"),
        ({"cron": "0,10 * * * *", "jitter": "10m"}, "jitter: expected less than the 600 s"),
        ({"every": 60, "start": moment(NOON), "end": moment(NOON)}, "end: expected a moment after"),
        (
            {"every": 60, "start": moment(NOON + 1), "end": moment(NOON + 59)},
            "end: expected an instant between start and end, got none",
        ),
        ({"every": 60, "start": "2026-12-01"}, "start: expected a date and time with an offset"),
        ({"every": 60, "end": datetime(2026, 12, 1)}, "end: expected a date and time with an off"),  # noqa: DTZ001
        ({"every": 60, "end": "9999-12-31T23:59:59Z"}, "end: expected a date and time"),
        (
            {"every": 60, "overlap": "wait"},
            "overlap: expected 'allow', 'skip', 'queue' or 'replace', got 'wait'",
        ),
        ({"every": 60, "enabled": 1}, "enabled: expected true or false, got 1"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check(Repeatable(task="t", **fields))


# ---------------------------------------------------------------- declarations


def test_a_schedule_is_named_after_its_task_unless_it_has_a_name() -> None:
    assert Repeatable(task="mod.f", every=1).identity == "mod.f"
    assert Repeatable(task="mod.f", name="nightly", every=1).identity == "nightly"


@pytest.mark.parametrize("fields", [{"every": 5.0}, {"cron": "0 3 * * *"}, {"cron": "@daily"}])
def test_good_declarations(fields: dict[str, Any]) -> None:
    repeatable = Repeatable(task="t", timezone="Europe/Lisbon", **fields)
    assert check(repeatable) == repeatable


@pytest.mark.parametrize("blanks", ["@daily ", " @daily", "\t0 3 * * *", "0  3 * * * "])
def test_blanks_around_an_expression_are_of_no_account(blanks: str) -> None:
    kept = " ".join(blanks.split())
    assert check(Repeatable(task="t", cron=blanks)).cron == kept
    assert next_instant(cron(blanks), NOON) == next_instant(cron(kept), NOON), "from a store"


def test_time_zones_are_there_without_those_of_the_host() -> None:
    """Debian 13 has `US/Pacific` in a package of its own, which few hosts have."""
    reset_tzpath(())
    try:
        ZoneInfo.clear_cache()
        assert check_timezone("US/Pacific") == "US/Pacific"
    finally:
        reset_tzpath()
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert any(each.startswith("tzdata>") for each in project["dependencies"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"every": 5.0, "cron": "0 3 * * *"},
        {"every": 0.001},
        {"cron": "x"},
        {"cron": "0 3 * * *", "timezone": "Mars/Olympus"},
        {"cron": "0 3 * * *", "timezone": ""},
        {"cron": "0 3 * * *", "timezone": "/etc/passwd"},
        {"cron": "0 3 * * *", "timezone": "../UTC"},
    ],
)
def test_bad_declarations(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        check(Repeatable(task="t", **fields))


def test_time_zones() -> None:
    assert check_timezone("Europe/Lisbon") == "Europe/Lisbon"
    for name in ("Lisbon", "europe", "a\0b", "Europe/Lisbon "):
        with pytest.raises(ValueError, match="expected a time zone like 'Europe/Lisbon'"):
            check_timezone(name)
