"""Numbers of all runs of a process: plain integers on the way of a job, read at a scrape.

A cell counts the runs of one queue and task: what they came to, their run and waiting times in
microseconds, and two histograms. Durations are sorted into buckets many at a time, once for the
history and for this. On the way to another process all cells are one run of bytes, eight for each
number: read as one long integer, those of several processes are added up by one addition.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

import msgspec

from asyncmqd.domain.states import EDGES
from asyncmqd.observe.listeners import Applied
from asyncmqd.observe.run_totals import Durations, Totals

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

# Bounds are powers of four: 2^10 us is about a millisecond, 2^36 us about 19 hours.
BOUNDS = tuple(2**exponent / 1e6 for exponent in range(10, 37, 2))  # seconds
BUCKETS = len(BOUNDS) + 1  # the last one has no bound
# Places in a cell: the outcomes in their order, all else that ended a run, then durations.
_ELSE = len(OUTCOMES)
RUN, WAIT, RUNS, WAITS = _ELSE + 1, _ELSE + 2, _ELSE + 3, _ELSE + 3 + BUCKETS
_SIZE = WAITS + BUCKETS
_LAYOUT = Struct(f"<{_SIZE}q")  # no number ever comes to 2^63: it would take 290,000 years
_BYTES = _LAYOUT.size
_PLACES = dict.fromkeys(EDGES, _ELSE) | {edge: place for place, edge in enumerate(OUTCOMES)}
_NEGATIVE = 0x8000  # from here on the sign is set
_SLICE = 300  # cells that are added up in one turn of the loop

Key = tuple[str, str]  # queue, task
Cell = Sequence[int]
OTHER = "other"  # the task of a job whose task is not known here


class Counted(msgspec.Struct):
    """What one process has counted since its start, on its way to another process."""

    keys: list[Key] = []
    cells: bytes = b""  # of these keys, in their order
    events: dict[str, dict[str, int]] = {}  # by event and queue
    answered: int = 0  # calls to the store
    unanswered: int = 0  # those that failed
    lag: float = 0.0  # seconds: the longest that the event loop was late in the last minute or two


class Sum:
    """What several processes have counted together."""

    def __init__(self) -> None:
        self._places: dict[Key, int] = {}
        self._slices: list[int] = []  # of so many cells each: all numbers of them as one
        self.events: dict[str, Counter[str]] = {}
        self.answered = 0
        self.unanswered = 0

    def add(self, part: Counted) -> None:
        """One process more."""
        for _ in self.adding(part):
            pass

    def adding(self, part: Counted) -> Iterator[None]:
        """One process more, in slices, between which others may have their turn."""
        cells = self._in_order(part)
        for number, begin in enumerate(range(0, len(cells), _SLICE * _BYTES)):
            added = int.from_bytes(cells[begin : begin + _SLICE * _BYTES], "little")
            if number == len(self._slices):
                self._slices.append(0)
            self._slices[number] += added
            yield
        for event, queues in part.events.items():
            self.events.setdefault(event, Counter()).update(queues)
        self.answered += part.answered
        self.unanswered += part.unanswered
        yield

    def _in_order(self, part: Counted) -> bytes:
        """The cells of a process in the order in which we have them."""
        places = self._places
        if [*places] == part.keys:
            return part.cells
        ordered = [_NONE] * len(places)
        for at, key in enumerate(part.keys):
            cell = part.cells[at * _BYTES : (at + 1) * _BYTES]
            if (place := places.setdefault(key, len(places))) == len(ordered):
                ordered.append(cell)
            else:
                ordered[place] = cell
        return b"".join(ordered)

    @property
    def cells(self) -> Iterator[tuple[Key, Cell]]:
        """All cells by their keys."""
        keys = iter(self._places)
        for packed in self._packed():
            for cell in _LAYOUT.iter_unpack(packed):
                yield next(keys), cell

    def _packed(self) -> Iterator[bytes]:
        left = len(self._places)
        for added in self._slices:
            yield added.to_bytes(min(left, _SLICE) * _BYTES, "little")
            left -= _SLICE

    def counted(self) -> Counted:
        """The sum so far, as one process would tell it."""
        return Counted(
            [*self._places],
            b"".join(self._packed()),
            {event: dict(queues) for event, queues in self.events.items()},
            self.answered,
            self.unanswered,
        )


_NONE = bytes(_BYTES)


class _Summed(Durations):
    """Durations that are added to a cell as well, when they are sorted for the history."""

    __slots__ = ("_begin", "_cell", "_sum")

    def __init__(self, cell: list[int], place: int, begin: int) -> None:
        super().__init__()
        self._cell, self._sum, self._begin = cell, place, begin

    def _note(self, by_upper: Counter[int], new: array[float]) -> None:
        super()._note(by_upper, new)
        for upper, number in by_upper.items():
            self._cell[self._begin + _place_of(upper)] += number
        if min(new) < 0:  # the store's clock was set back
            new = array("d", (max(each, 0.0) for each in new))
        self._cell[self._sum] += int(sum(new))


def _place_of(upper: int) -> int:
    """The bucket of a number of microseconds, by its float's upper bytes: sign and exponent."""
    return min(max(0, ((upper >> 4) - 1031) // 2), BUCKETS - 1) if upper < _NEGATIVE else 0


class Metrics(Totals):
    """Counts for /metrics, with what is always counted. There is one only where somebody may ask.

    A job pays for one count, by queue, task and edge. Runs are kept by queue and task. Waiting
    times are those of the history, by queue, and are told with one of its cells.
    """

    def __init__(self) -> None:
        self._cells: dict[Key, list[int]] = {}
        self._first: dict[str, list[int]] = {}  # a cell of each queue
        self._waited: dict[str, list[int]] = {}  # by queue: a cell with nothing but waiting times
        self._new: Counter[tuple[str, str, str]] = Counter()  # by queue, task and edge
        self._events: dict[str, Counter[str]] = {
            "job.lease_lost": Counter(),
            "job.cancelled": Counter(),
            "job.stuck": Counter(),
        }
        super().__init__()

    @property
    def by_edge(self) -> Counter[tuple[str, str]]:
        """See `Totals`. Tasks that this process does not know share one cell."""
        if self._new:
            new, self._new = self._new, Counter()
            for (queue, task, edge), number in new.items():
                self._edges[queue, edge] += number
                known = task and edge != "park"
                self._cell((queue, task if known else OTHER))[_PLACES[edge]] += number
        return self._edges

    def _cell(self, key: Key) -> list[int]:
        cell = self._cells.setdefault(key, [0] * _SIZE)
        self._first.setdefault(key[0], cell)
        return cell

    # ------------------------------------------------------------------ on the way of a job

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        if not applied:
            return
        self._new.update([(claim.queue, task, change.edge) for change, claim, task, _ in applied])
        runs, kept = self._runs, None
        for _, claim, task, duration in applied:
            if duration is not None:
                kept = runs[claim.queue, task]
                kept.append(duration * 1e6)
        if kept is not None:
            kept.sort_if_many()
            self._waits[claim.queue].sort_if_many()

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        counted = self._events.get(name)
        if counted is not None:
            counted[str(fields.get("queue", ""))] += 1

    # ------------------------------------------------------------------ sorting, many at a time

    def _new_waits(self, key: str) -> Durations:
        return _Summed(self._waited.setdefault(key, [0] * _SIZE), WAIT, WAITS)

    def _new_runs(self, key: Key) -> Durations:
        return _Summed(self._cell((key[0], key[1] or OTHER)), RUN, RUNS)

    def _runs_by_queue(self) -> dict[str, Counter[int]]:
        found: dict[str, Counter[int]] = {}
        for (queue, _), durations in self._runs.items():
            found.setdefault(queue, Counter()).update(durations.buckets())
        return found

    def counted(self) -> Counted:
        """All that was counted so far."""
        _ = self.by_edge
        for durations in (*self._waits.values(), *self._runs.values()):
            durations.sort()
        for queue, waited in self._waited.items():
            if cell := self._first.get(queue):
                cell[WAIT], cell[WAITS:] = waited[WAIT], waited[WAITS:]
        return Counted(
            [*self._cells],
            b"".join([_LAYOUT.pack(*cell) for cell in self._cells.values()]),
            {event: dict(queues) for event, queues in self._events.items()},
        )
