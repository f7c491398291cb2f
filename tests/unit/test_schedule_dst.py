"""Cron where clocks jump, against a walk through every minute, in some zones that are known.

`walked_clock.py` has the rule; `test_schedule_zones.py` looks at all zones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest

from asyncmqd.domain.schedule import Repeatable, latest_instants, next_instant
from tests.scale import scaled
from tests.unit.walked_clock import MINUTE, computed, local, walked

MARGIN = 86_400  # seconds before and after a jump that are compared
ZONES = {
    "Europe/Lisbon": range(1992, 1997),  # in 1992 and 1996 it changed its offset as well
    "America/New_York": range(2005, 2010),
    "Australia/Lord_Howe": range(2024, 2029),  # by half an hour
    "Pacific/Apia": range(2010, 2013),  # 30 December 2011 never was
    "America/Santiago": range(2018, 2024),  # at midnight
    "Africa/Casablanca": range(2017, 2022),  # back in Ramadan
    "Asia/Pyongyang": range(2015, 2019),  # half an hour without summer time
    "Antarctica/Troll": range(2005, 2009),  # by two hours
    "Antarctica/Casey": range(2009, 2011),  # by three hours
}
EXPRESSIONS = [
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "0,20,40 1,2 * * *",
    "*/15 2 * * *",
    "15 1-3 * * 0",
    "0 3 26-31 3,10 *",
    "*/15 * * * *",
    "7 * * * *",
    "30 */2 * * *",
    "0 * * * 0",
]


def jumps(zone: str) -> list[int]:
    """The instants, to six hours, at which the zone's offset changes in the years above."""
    years, step = ZONES[zone], 6 * 3_600
    begin, end = (
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (years[0], years[-1] + 1)
    )
    offsets = [(at, local(at, zone) - local(0, "UTC")) for at in range(begin, end, step)]
    return [
        at
        for (before, shown), (at, shown_next) in pairwise(offsets)
        if shown_next - shown != timedelta(seconds=at - before)
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_every_jump_of_the_clock(zone: str) -> None:
    found = jumps(zone)
    assert len(found) > 1
    for jump, expression in product(found[: scaled(2, None)], EXPRESSIONS):
        begin, end = jump - MARGIN, jump + MARGIN
        expected = walked(expression, zone, begin, end)
        got = list(computed(expression, zone, begin, end))
        assert got == expected, f"{expression} around {local(jump, zone)}"


@pytest.mark.parametrize("zone", ["Europe/Lisbon", "Australia/Lord_Howe", "America/Santiago"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/15 * * * *", "0 0 * * *", "30 1 * * *"])
def test_the_answer_does_not_depend_on_when_it_is_asked(expression: str, zone: str) -> None:
    """Daemons ask at different moments, and the one that restarts must not fire again."""
    repeatable = Repeatable(task="t", cron=expression, timezone=zone)
    for jump in jumps(zone)[-2:]:
        begin, end = jump - 5 * 3_600, jump + 5 * 3_600
        instants = walked(expression, zone, begin - MARGIN, end + MARGIN)
        for asked in range(begin, end, 7 * MINUTE):
            later = [each for each in instants if each > asked]
            assert next_instant(repeatable, asked) == later[0]
            missed = [each for each in instants if asked - 3_000 < each <= asked]
            assert latest_instants(repeatable, asked - 3_000, asked, 99) == missed


def test_lisbon_in_words() -> None:
    """The same rule as four lines that a person can check."""

    def hours(expression: str, day: datetime) -> list[str]:
        begin = int(day.timestamp())
        found = computed(expression, "Europe/Lisbon", begin, begin + 86_400)
        return [datetime.fromtimestamp(each, UTC).strftime("%H:%M") for each in found]

    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    assert hours("30 1 * * *", spring) == ["01:00"]  # 01:30 never is: fired at the gap's end
    assert hours("30 1 * * *", autumn) == ["00:30"]  # 01:30 is twice: fired at the first
    assert hours("0 */1 * * *", spring)[:3] == ["00:00", "01:00", "02:00"]
    assert hours("@hourly", autumn) == hours("0 * * * *", autumn)
    assert len(hours("0 * * * *", autumn)) == 24
