"""A walk through every minute that a clock on the wall shows: what a cron has to fire.

It shares no code with asyncmqd. The rule is that of Debian's cron: a fixed time fires once on each
local day, at the end of the gap when spring swallows it, at the first of both when autumn repeats
it. With `*` at the beginning of the minute or the hour real time counts: nothing for what is
swallowed, and both for what is repeated; likewise where the clock jumps by three hours and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from asyncmqd.domain.schedule import Repeatable, next_instant

MINUTE = 60
CORRECTION = timedelta(hours=3)


def local(instant: int, zone: str) -> datetime:
    """What a clock on the wall shows."""
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None)


def numbers(field: str) -> frozenset[int]:
    """The values that one field of an expression names."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "", "59") if span == "*" else span.partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


class Named:
    """The minutes that an expression names."""

    def __init__(self, expression: str) -> None:
        self.wildcard = "*" in {field[0] for field in expression.split()[:2]}
        self._minutes, self._hours, self._days, self._months, self._weekdays = map(
            numbers, expression.split()
        )

    def __contains__(self, shown: datetime) -> bool:
        return (
            shown.minute in self._minutes
            and shown.hour in self._hours
            and shown.day in self._days
            and shown.month in self._months
            and shown.isoweekday() % 7 in self._weekdays
        )


@lru_cache(maxsize=16)  # all expressions are walked over one jump before the next
def clock(zone: str, begin: int, end: int) -> list[tuple[int, datetime, list[datetime]]]:
    """Minute by minute: the instant, what the clock shows, and the times passed for the first
    time ever, be it because they are shown or because they are jumped over.
    """
    walk = []
    newest = local(begin - MINUTE, zone)
    for instant in range(begin, end, MINUTE):
        shown, passed = local(instant, zone), []
        if shown - newest > CORRECTION:
            newest = shown - timedelta(minutes=1)
        while newest < shown:
            newest += timedelta(minutes=1)
            passed.append(newest)
        walk.append((instant, shown, passed))
    return walk


def walked(expression: str, zone: str, begin: int, end: int) -> list[int]:
    """The instants in [begin, end), found minute by minute."""
    named = Named(expression)
    if named.wildcard:
        return [instant for instant, shown, _ in clock(zone, begin, end) if shown in named]
    return [
        instant
        for instant, _, passed in clock(zone, begin, end)
        if any(each in named for each in passed)
    ]


def computed(expression: str, zone: str, begin: int, end: int) -> Iterator[int]:
    repeatable = Repeatable(task="t", cron=expression, timezone=zone)
    instant = next_instant(repeatable, begin - 1)
    while instant < end:
        yield int(instant)
        instant = next_instant(repeatable, instant)
