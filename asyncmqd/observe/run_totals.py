"""`Totals`: what became of the runs of a process, how long they waited and took; always there."""

from __future__ import annotations

import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from asyncmqd.domain.history import COUNTS, Period, bucket_of_float, histogram
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Applied, Listener

_COUNTED = {"retry": COUNTS.index("retried"), "recover": COUNTS.index("recovered")}
_STARTED = COUNTS.index("started")
_MANY = 512  # durations of a queue that are kept one by one
_UPPER = 3 if sys.byteorder == "little" else 0  # of the four pairs of bytes of a float


class _Durations:
    """Durations in microseconds, which are sorted into buckets many at a time.

    One by one, that cost more than all the rest of a count. The upper two bytes of a float have its
    exponent and four bits of its mantissa: a bucket of the history has two bits of it.
    """

    __slots__ = ("_by_upper", "_new", "append")

    def __init__(self) -> None:
        self._new = array("d")
        self._by_upper: Counter[int] = Counter()
        self.append = self._new.append

    def sort_if_many(self) -> None:
        """Keep no more one by one than `_MANY` and those of one batch."""
        if len(self._new) > _MANY:
            self._sort()

    def _sort(self) -> None:
        self._by_upper.update(memoryview(self._new.tobytes()).cast("H")[_UPPER::4])
        del self._new[:]

    def buckets(self) -> Counter[int]:
        """How many each bucket has."""
        self._sort()
        found: Counter[int] = Counter()
        for upper, number in self._by_upper.items():
            found[bucket_of_float(upper)] += number
        return found


class Totals(Listener):
    """Counts changes since the start of the process, and all else since it was last taken."""

    def __init__(self) -> None:
        self.by_edge: Counter[tuple[str, str]] = Counter()  # by queue and edge
        self._taken: dict[tuple[str, str], int] = {}  # the same as it was
        self._begin()

    def _begin(self) -> None:
        self._again: Counter[str] = Counter()  # starts that are not first attempts, by queue
        self._waits: defaultdict[str, _Durations] = defaultdict(_Durations)  # of first attempts
        self._runs: defaultdict[str, _Durations] = defaultdict(_Durations)

    def started(self, claim: Claim, task: str) -> None:  # noqa: ARG002 - as all listeners have it
        """See `Listener`."""
        if claim.failures:
            self._again[claim.queue] += 1
        else:
            self._waits[claim.queue].append(claim.age * 1e6)

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        by_edge, runs = self.by_edge, self._runs
        by_edge.update([(claim.queue, change.edge) for change, claim, _, _ in applied])
        for _, claim, _, duration in applied:
            if duration is not None:
                runs[claim.queue].append(duration * 1e6)
        if applied:  # most batches are of one queue
            queue = applied[-1][1].queue
            runs[queue].sort_if_many()
            self._waits[queue].sort_if_many()

    def take(self, minute: int) -> Iterator[tuple[str, Period]]:
        """What was counted since it was last taken, by queue. Nobody gets it a second time."""
        waits = {queue: each.buckets() for queue, each in self._waits.items()}
        runs = {queue: each.buckets() for queue, each in self._runs.items()}
        again = self._again
        self._begin()
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(COUNTS))
        for key, number in self.by_edge.items():
            queue, edge = key
            if edge in _COUNTED and (new := number - self._taken.get(key, 0)):
                counts[queue][_COUNTED[edge]] = new
                self._taken[key] = number
        for queue in dict.fromkeys((*waits, *again)):
            if started := sum(waits.get(queue, {}).values()) + again[queue]:
                counts[queue][_STARTED] = started
        for queue in dict.fromkeys((*counts, *runs)):  # not a set: a seed names one world
            durations = [histogram(each.get(queue, {})) for each in (waits, runs)]
            if any(counts[queue]) or any(durations):
                yield queue, Period(minute, counts[queue], [], *durations)
