"""What a queue in memory keeps of the past."""

from __future__ import annotations

from collections import Counter

from asyncmqd.backends.memory.rows import Queue, Row
from asyncmqd.domain.history import (
    PRIORITIES,
    History,
    Period,
    counts_since,
    is_noted,
    joined,
    levels,
    put,
    roll_up,
    totals,
)
from asyncmqd.domain.states import KEYED, State


class Noting:
    """Notes minutes of one queue, at one moment."""

    def __init__(self, queue: Queue, now: float) -> None:
        self._queue = queue
        self._now = now

    def note(self, period: Period, *, over: bool) -> None:
        """See `HistoryStore.note`."""
        past = self._queue.past
        if over and not is_noted(past.totals, period.minute, self._now):
            period = joined(period, self._look(period.minute))
        if period:
            put(past.minutes, period, self._now)
        roll_up(past.minutes, past.half_hours, period.minute, self._now)

    def _look(self, minute: int) -> Period:
        """What the queue itself tells of the minute that is over."""
        queue, past = self._queue, self._queue.past
        places = Counter({str(state): len(queue.lines[state]) for state in State})
        places[State.WAITING] += len(queue.lines[KEYED])
        places[State.WAITING] += sum(len(queue.lines[each]) for each in queue.parked_places())
        now = totals(minute, places, past.passed)
        counts = counts_since(past.totals, now)
        past.totals = now
        return Period(minute, counts, levels(places, places[State.WAITING], self.oldest()))

    def oldest(self) -> float:
        """See `HistoryStore.oldest`."""
        heads: dict[tuple[str, float], Row] = {}
        for place in (State.WAITING, KEYED):
            for id in self._queue.lines[place].ids():
                row = self._queue.rows[id]
                heads.setdefault((place, row.order[0]), row)
        oldest = [row.created for _, row in sorted(heads.items())[: 2 * PRIORITIES]]
        return self._now - min(oldest, default=self._now)

    def history(self) -> History:
        """See `HistoryStore.history`."""
        past = self._queue.past
        return History(self._now, list(past.minutes), list(past.half_hours))
