"""Numbers of all runs of a process: plain integers on the way of a job, read at a scrape.

A cell counts the changes of one queue, task and edge: how many, their run and waiting times in
microseconds, and two histograms. It is one list, so that cells of several processes are added up
by one `map`, and a job pays for one look-up and a few additions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import add
from typing import Any

import msgspec

from asyncmqd.observe.listeners import Applied, Listener

# Bounds are powers of four: 2^10 us is about a millisecond, 2^36 us about 19 hours.
BOUNDS = tuple(2**exponent / 1e6 for exponent in range(10, 37, 2))  # seconds
BUCKETS = len(BOUNDS) + 1  # the last one has no bound
# Places in a cell. Runs without a duration were never begun, and are counted alone.
UNTIMED, RUN, WAIT, RUNS, WAITS = 0, 1, 2, 3, 3 + BUCKETS
_SLICE = 300  # cells that are added up in one turn of the loop
_SIZE = WAITS + BUCKETS
# The place of a number of microseconds by its bits: one look-up for each run.
_RUN_AT, _WAIT_AT = (
    tuple(first + min(max(0, (bits - 9) // 2), BUCKETS - 1) for bits in range(64))
    for first in (RUNS, WAITS)
)

OUTCOMES = {
    "succeed": "completed",
    "fail": "failed",
    "retry": "retried",
    "expire": "expired",
    "release": "released",
    "snooze": "snoozed",
    "park": "parked",
    "recover": "recovered",
    "quarantine": "quarantined",
}
"""The edges that are counted, and the outcome that each is told as."""

Key = tuple[str, str, str]  # queue, task, edge
Cell = list[int]
OTHER = "other"  # the task of a job whose task is not known here


class Counted(msgspec.Struct):
    """What one process has counted since its start, on its way to another process."""

    cells: list[tuple[str, str, str, Cell]] = []
    events: dict[str, dict[str, int]] = {}  # by event and queue
    answered: int = 0  # calls to the store
    unanswered: int = 0  # those that failed
    lag: float = 0.0  # seconds: the longest that the event loop was late, since it was last asked


class Sum:
    """What several processes have counted together."""

    def __init__(self) -> None:
        self.cells: dict[Key, Cell] = {}
        self.events: dict[str, Counter[str]] = {}
        self.answered = 0
        self.unanswered = 0

    def add(self, part: Counted) -> None:
        """One process more."""
        for _ in self.adding(part):
            pass

    def adding(self, part: Counted) -> Iterator[None]:
        """One process more, in slices, between which others may have their turn.

        Its cells may become those of the sum.
        """
        cells = self.cells
        for number, (queue, task, edge, cell) in enumerate(part.cells, 1):
            key = queue, task, edge
            known = cells.get(key)
            cells[key] = cell if known is None else [*map(add, known, cell)]
            if number % _SLICE == 0:
                yield
        for event, queues in part.events.items():
            self.events.setdefault(event, Counter()).update(queues)
        self.answered += part.answered
        self.unanswered += part.unanswered
        yield

    def counted(self) -> Counted:
        """The sum so far, as one process would tell it."""
        return Counted(
            [(*key, cell) for key, cell in self.cells.items()],
            {event: dict(queues) for event, queues in self.events.items()},
            self.answered,
            self.unanswered,
        )


class Metrics(Listener):
    """Counts for /metrics. There is one only where somebody may ask."""

    def __init__(self) -> None:
        self._cells: dict[Key, Cell] = {}
        self._events: dict[str, Counter[str]] = {
            "job.lease_lost": Counter(),
            "job.cancelled": Counter(),
            "job.stuck": Counter(),
        }

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        cells = self._cells
        for change, claim, task, duration in applied:
            key = claim.queue, task, change.edge
            cell = cells.get(key)
            if cell is None:
                cell = self._new(key)
            if duration is None:
                cell[UNTIMED] += 1
                continue
            spent = int(duration * 1e6)
            cell[RUN] += spent
            cell[_RUN_AT[spent.bit_length()]] += 1
            if not claim.failures:
                waited = int(claim.age * 1e6)
                cell[WAIT] += waited
                cell[_WAIT_AT[waited.bit_length()]] += 1

    def _new(self, key: Key) -> Cell:
        """A cell for a key that has none; tasks that this process does not know share one."""
        queue, task, edge = key
        known = bool(task) and edge != "park"
        return self._cells.setdefault((queue, task if known else OTHER, edge), [0] * _SIZE)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        counted = self._events.get(name)
        if counted is not None:
            counted[str(fields.get("queue", ""))] += 1

    def counted(self) -> Counted:
        """All that was counted so far."""
        return Counted(
            [(*key, list(cell)) for key, cell in self._cells.items()],
            {event: dict(queues) for event, queues in self._events.items()},
        )
