"""Cron in all zones whose clocks jump from 2005 to 2035, against a walk through every minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest

from tests.scale import scaled
from tests.unit.walked_clock import MINUTE, computed, local, walked

DAY = 86_400
BEGIN, END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2005, 2036))
LOOKS = range(BEGIN, END, scaled(7, 1) * DAY)  # to and fro within one step would not be seen
MARGIN = 30 * 3_600  # seconds before and after a jump that are compared: more than a local day
SHARES = scaled(1, 8)  # so that processes can compare side by side
EVERYWHERE = ["0 0 * * *", "59 23 * * *", "7 * * * *", "*/20 */2 * * 0", "0 12 29-31 3,10 *"]


class Jump(NamedTuple):
    """The first instant, in whole seconds, of another offset."""

    zone: str
    instant: int
    before: timedelta
    after: timedelta

    @property
    def kind(self) -> tuple[timedelta, timedelta, int]:
        """What cron could treat in a way of its own."""
        return self.before, self.after, self.instant % DAY


def offset(zone: ZoneInfo, instant: float) -> timedelta:
    """How far local time is ahead of UTC."""
    return datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()


@cache
def zones() -> dict[str, list[timedelta]]:
    """The offsets at each look, of the first name of each zone that differs from the others."""
    found: dict[tuple[timedelta, ...], str] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        found.setdefault(tuple(offset(zone, at) for at in LOOKS), name)
    return {name: list(offsets) for offsets, name in found.items() if len({*offsets}) > 1}


def jumps() -> Iterator[Jump]:
    """All jumps of all these zones."""
    for name, offsets in zones().items():
        for look, (before, after) in zip(LOOKS, pairwise(offsets), strict=False):
            if before != after:
                yield Jump(name, begin_of(after, ZoneInfo(name), look), before, after)


def begin_of(after: timedelta, zone: ZoneInfo, look: int) -> int:
    """The instant at which this offset begins, after a look and not after the next one."""
    low, high = look, look + LOOKS.step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(zone, middle) == after else (middle, high)
    return high


def chosen() -> list[Jump]:
    """In the short form one jump of each eighth kind, else all of them."""
    found = list(jumps())
    one_of_each = {jump.kind: jump for jump in found}
    return scaled(list(one_of_each.values())[::8], found)


def expressions(jump: Jump) -> list[str]:
    """Some that the jump swallows or repeats, beside those for everywhere."""
    shown = local(jump.instant - MINUTE, jump.zone) + timedelta(minutes=1)
    hours = sorted({(shown + timedelta(minutes=by)).hour for by in (-60, -30, 0, 30, 60)})
    around = ",".join(map(str, hours))
    return [*EVERYWHERE, f"15,45 {around} * * *", f"*/10 {around} * * *", f"30 {hours[0]} * * *"]


@pytest.mark.parametrize("share", range(SHARES))
def test_every_zone(share: int, capsys: pytest.CaptureFixture[str]) -> None:
    compared = chosen()[share::SHARES]
    instants = 0
    for jump in compared:
        begin, end = jump.instant - MARGIN, jump.instant + MARGIN
        for expression in expressions(jump):
            expected = walked(expression, jump.zone, begin, end)
            got = list(computed(expression, jump.zone, begin, end))
            assert got == expected, f"{expression} around {local(jump.instant, jump.zone)}, {jump}"
            instants += len(expected)
    with capsys.disabled():
        print(
            f"\n{len({jump.zone for jump in compared})} zones, {len(compared)} jumps of their"
            f" clocks, {instants:,} instants compared"
        )
    assert instants > 60 * len(compared)
