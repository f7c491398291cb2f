"""What is kept of the past of queues, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain.history import (
    HALF_HOUR,
    KEPT,
    MINUTES_KEPT,
    PRIORITIES,
    History,
    Period,
    Totals,
    counts_since,
    in_stretch,
    is_noted,
    joined,
    levels,
    minute_of,
    totals,
)
from asyncmqd.domain.states import KEYED, State, state_of

_SQL = sql_statements.load("history.sql")
_encode = msgspec.msgpack.encode
_period = msgspec.msgpack.Decoder(Period).decode
_totals = msgspec.msgpack.Decoder(Totals).decode


def note(tx: Transaction, periods: Mapping[str, Period], over: bool) -> float:
    """See `HistoryStore.note`."""
    for queue, period in periods.items():
        seen = _look(tx, queue, period.minute) if over else None
        if whole := period if seen is None else joined(period, seen):
            _put(tx, 1, queue, whole)
    if periods:
        _roll_up(tx, max(each.minute for each in periods.values()))
    return seconds(tx.time)


def _look(tx: Transaction, queue: str, minute: int) -> Period | None:
    """What the queue itself tells of the minute that is over; None: somebody has had it tell."""
    found = tx.execute(_SQL["totals"], (queue,)).fetchone()
    before = None if found is None else _totals(found[0])
    if is_noted(before, minute, seconds(tx.time)):
        return None
    places: Counter[str] = Counter()
    for line, (jobs, _) in tx.tallies(queue).items():
        if not line.startswith("#"):  # a line of ended jobs that are kept
            places[state_of(line)] += jobs
    now = totals(minute, places, dict(tx.execute(_SQL["passed"], (queue,)).fetchall()))
    counts = counts_since(before, now)
    period = Period(minute, counts, levels(places, places[State.WAITING], _oldest_of(tx, queue)))
    if period:
        tx.execute(_SQL["save_totals"], (queue, _encode(now)))
    return period


def oldest(view: Snapshot, queues: Sequence[str]) -> dict[str, float]:
    """See `HistoryStore.oldest`."""
    return {queue: _oldest_of(view, queue) for queue in queues}


def _oldest_of(view: Snapshot, queue: str) -> float:
    oldest = view.time
    for place in (str(State.WAITING), KEYED):
        rank = -1
        for _ in range(PRIORITIES):
            head = view.execute(_SQL["head"], (queue, place, rank)).fetchone()
            if head is None:
                break
            rank, created = head
            oldest = min(oldest, created)
    return seconds(view.time - oldest)


def _put(tx: Transaction, length: int, queue: str, period: Period) -> None:
    known = tx.execute(_SQL["period"], (length, period.minute, queue)).fetchone()
    if known is not None:
        period = joined(_period(known[0]), period)
    tx.execute(_SQL["save_period"], (length, period.minute, queue, _encode(period)))


def _roll_up(tx: Transaction, minute: int) -> None:
    """Join what is too old to stand alone to half hours, of all queues."""
    alone, future = minute - MINUTES_KEPT, minute_of(seconds(tx.time)) + HALF_HOUR
    old = tx.execute(_SQL["old_periods"], (alone,)).fetchall()
    for queue, packed in old:
        _put(tx, HALF_HOUR, queue, in_stretch(_period(packed), HALF_HOUR))
    tx.execute(_SQL["forget_periods"], {"length": 1, "old": alone, "future": future})
    if old:
        bounds = {"length": HALF_HOUR, "old": minute - KEPT, "future": future}
        tx.execute(_SQL["forget_periods"], bounds)


def history(view: Snapshot, queue: str) -> History:
    """See `HistoryStore.history`."""
    minutes, half_hours = (
        [_period(packed) for (packed,) in view.execute(_SQL["periods"], {**wanted, "queue": queue})]
        for wanted in ({"length": 1}, {"length": HALF_HOUR})
    )
    return History(seconds(view.time), minutes, half_hours)


def note_passed(tx: Transaction, queue: str, passed: Mapping[str, int]) -> None:
    """So many jobs have left these ended places, or are deleted."""
    tx.executemany(_SQL["note_passed"], [(queue, *each) for each in passed.items() if each[1]])
