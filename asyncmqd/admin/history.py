"""The past of queues, as operators see it: numbers of each stretch of time, and quantiles."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import msgspec

from asyncmqd.admin.queues import Names, check_known, list_queues
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.history import (
    HALF_HOUR,
    KEPT,
    LEVELS,
    MINUTE,
    Count,
    Histogram,
    History,
    Period,
    in_stretch,
    joined,
    minute_of,
    quantile,
)

_BAR = 5  # minutes of a bar of a sparkline
_STRETCHES = ((1, 1), (2, 5), (24, HALF_HOUR), (KEPT // 60, 60))
"""Up to so many hours are told in stretches of so many minutes: in sixty lines at most."""


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in seconds; each may be wrong by an eighth. None: there were none."""

    number: int
    p50: float | None
    p95: float | None
    p99: float | None


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """How full a queue was at the end of a minute; of several minutes the highest numbers."""

    waiting: int
    delayed: int
    active: int
    failed: int
    oldest: int  # for how many seconds the oldest of those that run next had waited


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a queue in a stretch of time."""

    begin: str
    minutes: int
    added: int
    started: int
    completed: int
    failed: int
    retried: int
    expired: int
    cancelled: int
    recovered: int
    levels: Levels | None  # None: no daemon served the queue
    wait: Quantiles  # from the enqueue of a job to the start of its first attempt
    run: Quantiles  # of each run that ended


class QueueHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Stretches without anything to tell are left out."""

    queue: str
    stretches: list[Stretch]


async def of_queue(
    store: BaseBackend, queue: str, hours: int, elsewhere: Names = tuple
) -> QueueHistory:
    """The last hours of a queue. Raises NotFound if nobody knows it."""
    history = await store.history(queue)
    if not history.periods:
        await check_known(store, queue, elsewhere)
    return QueueHistory(queue=queue, stretches=[_stretch(*e) for e in stretches(history, hours)])


def stretches(history: History, hours: int) -> list[tuple[int, Period]]:
    """The last hours, and how many minutes each stretch has. None reaches into the next one.

    The last half hour has minutes that do not stand alone any more. It ends where these begin.
    """
    length = next(minutes for most, minutes in _STRETCHES if hours <= most)
    alone = history.minutes[0].minute if history.minutes else 0
    half = alone - alone % HALF_HOUR
    found: dict[int, tuple[int, Period]] = {}
    for minutes, period in _last(history, hours):
        minutes = max(minutes, length)
        part = in_stretch(period, minutes)
        if part.minute < alone and half in found:  # a part of it is in the half hour
            part = msgspec.structs.replace(part, minute=min(part.minute, half))
        known = found.get(part.minute)
        found[part.minute] = (
            (minutes, part) if known is None else (known[0], joined(known[1], part))
        )
    begins = [*found, minute_of(history.now) + KEPT]
    return [
        (min(minutes, end - part.minute), part)
        for (minutes, part), end in zip(found.values(), begins[1:], strict=True)
    ]


class Ends(NamedTuple):
    """How the runs of a stretch of time ended: what a sparkline draws."""

    begin: float  # Unix time
    minutes: int
    completed: int
    failed: int  # those of jobs that were tried again, too


async def ends_of(store: BaseBackend, queue: str, hours: int) -> tuple[list[Ends], float]:
    """The last hours of a queue, and the store's time. Nobody need know the queue."""
    history = await store.history(queue)
    return ends(history, hours), history.now


def ends(history: History, hours: int) -> list[Ends]:
    """The last hours, cheaply: a page has the sparklines of fifty queues.

    In parts of five minutes, and in half hours before those that stand alone.
    """
    first = minute_of(history.now) - 60 * hours
    alone = history.minutes[0].minute if history.minutes else minute_of(history.now) + KEPT
    parts: dict[int, list[int]] = {}  # by the first minute: the end, completed, failed
    for length, period in history.periods:
        if period.minute + length > first:
            size = _BAR if length == 1 else length
            begin = period.minute - period.minute % size
            end = begin + size if length == 1 else min(begin + size, alone)
            part = parts.setdefault(max(begin, alone) if length == 1 else begin, [end, 0, 0])
            _, _, completed, failed, retried, *_ = (*period.counts, 0, 0, 0, 0, 0)
            part[1] += completed
            part[2] += failed + retried
    return [
        Ends(begin * MINUTE, end - begin, completed, failed)
        for begin, (end, completed, failed) in parts.items()
    ]


async def of_all(store: BaseBackend, hours: int) -> list[QueueHistory]:
    """The last hours of all queues that have jobs, schedules or workers, each as one stretch."""
    found = []
    for queue in await list_queues(store):
        history = await store.history(queue.name)
        begin = Period(minute_of(history.now) - 60 * hours)
        whole = reduce(joined, (period for _, period in _last(history, hours)), begin)
        stretch = _stretch(60 * hours, msgspec.structs.replace(whole, minute=begin.minute))
        found.append(QueueHistory(queue=queue.name, stretches=[stretch]))
    return found


def _last(history: History, hours: int) -> list[tuple[int, Period]]:
    """The periods of the last hours, the first perhaps with some minutes before them."""
    begin = minute_of(history.now) - 60 * hours
    return [(minutes, each) for minutes, each in history.periods if each.minute + minutes > begin]


def _stretch(minutes: int, period: Period) -> Stretch:
    counts: dict[Count, int] = period.by_name
    return Stretch(
        begin=rfc3339(period.minute * MINUTE) or "",
        minutes=minutes,
        **counts,
        levels=Levels(**dict(zip(LEVELS, period.levels, strict=True))) if period.levels else None,
        wait=_quantiles(period.waits),
        run=_quantiles(period.runs),
    )


def _quantiles(durations: Histogram) -> Quantiles:
    return Quantiles(
        number=sum(durations[1::2]),
        p50=_rounded(quantile(durations, 0.5)),
        p95=_rounded(quantile(durations, 0.95)),
        p99=_rounded(quantile(durations, 0.99)),
    )


def _rounded(seconds: float | None) -> float | None:
    """To as many digits as it may be trusted, and one more."""
    return None if seconds is None else float(f"{seconds:.3g}")
