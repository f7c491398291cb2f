"""Cron expressions: the times of a local clock that they name, read as Debian's cron reads them.

Pure, and without zones: `schedule.py` brings the times to instants. croniter walks the days; what
it would read otherwise than cron does is written out before it sees it. docs/schedules.md says what
is read how, and tests/unit/cron/ has what the real cron did with the crontabs of real projects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from heapq import merge
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from croniter import croniter

_YEARS = (
    50  # without a date for so long, an expression names none: 29 February on a Monday is rarer
)
_NO_MORE = (ValueError, OverflowError)  # no date in so many years (a ValueError), or no such year
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


class Cron(NamedTuple):
    """An expression that was read, in words that mean to croniter what they mean to Debian's cron.

    `expressions` name its times together: fields of seconds first, of which the numbers are written
    out, and both fields of the day have to match.
    """

    expressions: tuple[str, ...]
    wildcard: bool  # it means real time, where clocks change: minute or hour begins with `*`

    def after(self, start: datetime) -> Iterator[datetime]:
        """The times later than `start`, in order, until there are none in fifty years."""
        last = start
        for moment in merge(*(_times(each, start) for each in self.expressions)):
            if moment > last:  # two of them may name the same
                last = moment
                yield moment


def _times(expression: str, start: datetime) -> Iterator[datetime]:
    moment = _next(expression, start)  # kept: many schedules of a daemon have one expression
    if moment is None:
        return
    yield moment
    times = _croniter(expression, moment)
    with suppress(*_NO_MORE):
        while True:
            yield times.get_next(datetime)


@lru_cache(maxsize=4_096)
def _next(expression: str, start: datetime) -> datetime | None:
    try:
        moment: datetime = _croniter(expression, start).get_next(datetime)
    except _NO_MORE:
        return None
    return moment


def _comes(expression: str) -> bool:
    """Whether there is such a date."""
    _, _, _, day, _, weekday = expression.split()
    if day == "*" or (weekday == "*" and re.match(r"(1?[0-9]|2[0-8])\b", day)):
        return True  # it need not be looked for: each month has such a day
    return _next(expression, datetime(2024, 1, 1)) is not None  # noqa: DTZ001 - any day will do


def _croniter(expression: str, start: datetime) -> croniter:
    from croniter import croniter  # a seventh of the time of a start, only with cron expressions

    return croniter(
        expression,
        start,
        day_or=False,
        second_at_beginning=True,
        max_years_between_matches=_YEARS,
    )


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
            "expected 5 fields (minute first), 6 (second first) or a word like @daily,"
            f" got {len(fields)} in {expression!r}"
        )
    try:
        cron = _read(*(["0", *fields] if len(fields) == 5 else fields))
    except ValueError as error:
        raise ValueError(f"{error} in {expression!r}") from None
    if not any(map(_comes, cron.expressions)):
        raise ValueError(f"expected a date that comes, got no such date in {expression!r}")
    return cron


def _read(second: str, minute: str, hour: str, day: str, month: str, weekday: str) -> Cron:
    clock = (
        _listed(_numbers("second", second, 0, 59), 60),
        _listed(_numbers("minute", minute, 0, 59), 60),
        _listed(_numbers("hour", hour, 0, 23), 24),
    )
    months = _listed(_numbers("month", month, 1, 12, _MONTHS), 12)
    days, weekdays = _days(day), _weekdays(weekday)
    if day[0] in "*?" or weekday[0] in "*?":
        dates = [(one, other) for one in days for other in weekdays]
    else:
        dates = [*((one, "*") for one in days), *(("*", other) for other in weekdays)]
    return Cron(
        tuple(" ".join((*clock, one, months, other)) for one, other in dates),
        wildcard=minute[0] == "*" or hour[0] == "*",
    )


def _listed(numbers: set[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(map(str, sorted(numbers)))


def _days(field: str) -> list[str]:
    """The field for croniter, which takes numbers and rules (L, 15W) apart only."""
    numbers: set[int] = set()
    rules: list[str] = []
    for part in field.split(","):
        if part in {"L", "l"}:
            rules.append("L")
        elif "w" in part.lower() and (near := _NEAREST.fullmatch(part)):
            rules.append(f"{_bounded('day of the month', near[1], 1, 31)}W")
        else:
            numbers |= _part("day of the month", part, 1, 31, wild="*?")
    return [*([_listed(numbers, 31)] if numbers else []), *rules]


def _weekdays(field: str) -> list[str]:
    """The same for the days of the week, with rules like 5#3 and L5."""
    numbers: set[int] = set()
    rules: list[str] = []
    for part in field.split(","):
        if nth := _NTH.fullmatch(part):
            rules.append(f"{_weekday(nth[1])}#{nth[2]}")
        elif last := _LAST.fullmatch(part):
            rules.append(f"L{_weekday(last[1])}")
        else:
            numbers |= {day % 7 for day in _part("day of the week", part, 0, 7, _WEEKDAYS, "*?")}
    return [*([_listed(numbers, 7)] if numbers else []), *rules]


def _weekday(text: str) -> int:
    return _bounded("day of the week", text, 0, 7, _WEEKDAYS) % 7


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
