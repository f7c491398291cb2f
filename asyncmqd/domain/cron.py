"""Cron expressions: the times of a local clock that they name, read as Debian's cron reads them.

Pure, and without zones: `schedule.py` brings the times to instants. docs/schedules.md says what is
read how, and tests/unit/cron/ has what the real cron did with the crontabs of real projects.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import MAXYEAR, date, datetime
from functools import lru_cache
from typing import NamedTuple

_YEARS = (
    50  # without a date for so long, an expression names none: 29 February on a Monday is rarer
)
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_PART = re.compile(r"(?:(?P<any>[*?])|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[0-9]{1,4}))?")
_NEAREST = re.compile(r"W?([0-9]{1,2})W?", re.IGNORECASE)
_NTH = re.compile(r"(\w+)#([1-5])")
_LAST = re.compile(r"L([0-7])", re.IGNORECASE)
_RANDOM = re.compile(r"(?i)(^|[\s,])[rh](\(|$|[\s,/])")

Rule = Callable[[date], bool]


class Cron(NamedTuple):
    """An expression that was read."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    day_rules: tuple[Rule, ...]  # of the day of the month, beside `days`
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    weekday_rules: tuple[Rule, ...]
    both: bool  # a date must match both fields of the day, not one of them
    wildcard: bool  # it means real time, where clocks change: minute or hour begins with `*`

    def after(self, start: datetime) -> Iterator[datetime]:
        """The times later than `start`, in order, until there are none in fifty years."""
        for day in self._dates(start):
            first_day = day == start.date()
            for hour in self.hours:
                if first_day and hour < start.hour:
                    continue
                for minute in self.minutes:
                    if first_day and (hour, minute) < (start.hour, start.minute):
                        continue
                    for second in self.seconds:
                        moment = datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001 - the zone is the caller's
                        if moment > start:
                            yield moment

    def _dates(self, start: datetime) -> Iterator[date]:
        first, barren = start.day, 0
        for number in range(start.year * 12 + start.month - 1, MAXYEAR * 12):
            year, month = number // 12, number % 12 + 1
            barren += 1
            if month in self.months:
                for day in range(first, monthrange(year, month)[1] + 1):
                    if self._names(candidate := date(year, month, day)):
                        barren = 0
                        yield candidate
            if barren > 12 * _YEARS:
                return
            first = 1

    def _names(self, day: date) -> bool:
        in_month = day.day in self.days or any(rule(day) for rule in self.day_rules)
        if self.both and not in_month:
            return False
        in_week = day.isoweekday() % 7 in self.weekdays
        in_week = in_week or any(rule(day) for rule in self.weekday_rules)
        return in_week if self.both else in_month or in_week


@lru_cache(maxsize=1_024)
def read(expression: str) -> Cron:
    """What an expression means. Raises ValueError "expected X, got Y" if it is none.

    Five fields (minute first), six (second first) or a word such as @daily, in any case.
    """
    if _RANDOM.search(expression):
        raise ValueError(f"expected fixed times, got a random or hashed field in {expression!r}")
    fields = _WORDS.get(expression.strip().lower(), expression).split()
    if len(fields) not in {5, 6}:
        raise ValueError(
            f"expected 5 fields (minute first) or 6 (second first), got {len(fields)}"
            f" in {expression!r}"
        )
    try:
        cron = _read(*(["0", *fields] if len(fields) == 5 else fields))
    except ValueError as error:
        raise ValueError(f"{error} in {expression!r}") from None
    if next(cron.after(datetime(2024, 1, 1)), None) is None:  # noqa: DTZ001 - any day will do
        raise ValueError(f"expected a date that comes, got no such date in {expression!r}")
    return cron


def _read(second: str, minute: str, hour: str, day: str, month: str, weekday: str) -> Cron:
    days, day_rules = _days(day)
    weekdays, weekday_rules = _weekdays(weekday)
    return Cron(
        seconds=tuple(sorted(_numbers("second", second, 0, 59))),
        minutes=tuple(sorted(_numbers("minute", minute, 0, 59))),
        hours=tuple(sorted(_numbers("hour", hour, 0, 23))),
        days=frozenset(days),
        day_rules=tuple(day_rules),
        months=frozenset(_numbers("month", month, 1, 12, _MONTHS)),
        weekdays=frozenset(weekdays),
        weekday_rules=tuple(weekday_rules),
        both=day[0] in "*?" or weekday[0] in "*?",
        wildcard=minute[0] == "*" or hour[0] == "*",
    )


def _days(field: str) -> tuple[set[int], list[Rule]]:
    days: set[int] = set()
    rules: list[Rule] = []
    for part in field.split(","):
        if part in {"L", "l"}:
            rules.append(lambda day: day.day == _length(day))
        elif "w" in part.lower() and (near := _NEAREST.fullmatch(part)):
            rules.append(_nearest(_bounded("day of the month", near[1], 1, 31)))
        else:
            days |= _part("day of the month", part, 1, 31, wild="*?")
    return days, rules


def _nearest(wanted: int) -> Rule:
    """The working day nearest to a day of the month, in the same month."""

    def rule(day: date) -> bool:
        length = _length(day)
        target = day.replace(day=min(wanted, length))
        if target.isoweekday() == 6:
            return day.day == (target.day - 1 if target.day > 1 else 3)
        if target.isoweekday() == 7:
            return day.day == (target.day + 1 if target.day < length else target.day - 2)
        return day == target

    return rule


def _length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _weekdays(field: str) -> tuple[set[int], list[Rule]]:
    weekdays: set[int] = set()
    rules: list[Rule] = []
    for part in field.split(","):
        if nth := _NTH.fullmatch(part):
            rules.append(_nth(_weekday(nth[1]), int(nth[2])))
        elif last := _LAST.fullmatch(part):
            rules.append(_last(_weekday(last[1])))
        else:
            weekdays |= _part("day of the week", part, 0, 7, _WEEKDAYS, wild="*?")
    return {day % 7 for day in weekdays}, rules


def _weekday(text: str) -> int:
    return _bounded("day of the week", text, 0, 7, _WEEKDAYS) % 7


def _nth(weekday: int, count: int) -> Rule:
    return lambda day: day.isoweekday() % 7 == weekday and (day.day - 1) // 7 + 1 == count


def _last(weekday: int) -> Rule:
    return lambda day: day.isoweekday() % 7 == weekday and day.day + 7 > _length(day)


def _numbers(
    what: str, field: str, least: int, most: int, names: list[str] | None = None
) -> set[int]:
    return {n for part in field.split(",") for n in _part(what, part, least, most, names)}


def _part(
    what: str, text: str, least: int, most: int, names: list[str] | None = None, wild: str = "*"
) -> set[int]:
    """The numbers of one part of a list: `*`, `a`, `a-b`, `a/s`, `a-b/s` or `*/s`."""
    part = _PART.fullmatch(text)
    if not part or (part["any"] and part["any"] not in wild):
        raise ValueError(f"expected a number, a range or * for the {what}, got {text!r}")
    step = 1 if part["step"] is None else int(part["step"])
    if step == 0:
        raise ValueError(f"expected a step of at least 1, got {text!r}")
    if part["any"]:
        return set(range(least, most + 1, step))
    low = _bounded(what, part["low"], least, most, names)
    if part["high"] is not None:
        high = _bounded(what, part["high"], least, most, names)
    else:  # an open end, if there is a step
        high = low if part["step"] is None else max(low, most - (most == 7))
    if low <= high:
        return set(range(low, high + 1, step))
    # Over the end and on from the beginning. Of a week, 0 and 7 are one day.
    first_round = range(low, most + 1 - (most == 7))
    return set([*first_round, *range(least, high + 1)][::step])


def _bounded(what: str, text: str, least: int, most: int, names: list[str] | None = None) -> int:
    if names and text.lower() in names:
        return names.index(text.lower()) + least
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
        raise ValueError(f"expected {least} to {most} for the {what}, got {text!r}")
    return int(text)
