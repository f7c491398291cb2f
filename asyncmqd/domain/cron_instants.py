"""At which moments the clock of a zone shows the times that a cron names. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from asyncmqd.domain.cron import read

_DAY = 86_400.0  # seconds: as much as any clock is ever set back by
_CORRECTION = 3 * 3_600.0  # seconds: a clock that is set by more is corrected, says cron(8)


def cron_instants(expression: str, zone: ZoneInfo, after: float) -> Iterator[float]:
    """The instants of a cron after `after`, by the rules of Debian's cron for clock changes.

    Fixed times fire once on each local day: at the gap's end when spring leaves them out, at the
    first of both when autumn repeats them. Wildcards (`*` at the beginning of the minute or the
    hour) mean real time: nothing for what spring leaves out, and both for what autumn repeats. So
    does everything where the clock is set by more than three hours: that is a correction.
    """
    cron = read(expression)
    start = datetime.fromtimestamp(after, zone).replace(tzinfo=None) - _set_back(after, zone)
    last = after
    pending: list[float] = []  # times that are shown again, of which the second counts, too
    for naive in cron.after(start):
        moments = _moments(naive, zone, real_time=cron.wildcard)
        come = [each for each in pending if moments and each <= moments[0]]
        pending = [*pending[len(come) :], *moments[1:]]
        for instant in (*come, *moments[:1]):
            if instant > last:
                last = instant
                yield instant


def _moments(naive: datetime, zone: ZoneInfo, *, real_time: bool) -> tuple[float, ...]:
    """When the clock shows this time, as far as that counts: never, once or twice."""
    first, second = (naive.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if second < first:  # the clock jumps over it
        swallowed = real_time or first - second >= _CORRECTION
        return () if swallowed else (_gap_end(second, first, zone),)
    if second > first and (real_time or second - first > _CORRECTION):
        return first, second
    return (first,)


def _set_back(moment: float, zone: ZoneInfo) -> timedelta:
    """How much the clock is about to be set back: what it shows now will be shown again."""
    now = _offset(moment, zone)
    back = now - _offset(moment + _DAY, zone)
    if back > timedelta() and _offset(moment + back.total_seconds(), zone) < now:
        return back
    return timedelta()


def _offset(moment: float, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()


def _gap_end(low: float, high: float, zone: ZoneInfo) -> float:
    """The instant between these two at which the zone's offset changes."""
    offset = _offset(low, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high
