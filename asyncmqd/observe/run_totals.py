"""`Totals`: what became of the runs of a process, how long they waited and took; always there."""

from __future__ import annotations

import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncmqd.domain.history import COUNTS, Period, bucket_of_float, histogram
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Applied, Listener

_COUNTED = {"retry": COUNTS.index("retried"), "recover": COUNTS.index("recovered")}
_STARTED = COUNTS.index("started")
_MANY = 512  # durations of a queue that are kept one by one
_UPPER = 3 if sys.byteorder == "little" else 0  # of the four pairs of bytes of a float


class Durations:
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
            self.sort()

    def sort(self) -> None:
        """Keep none one by one."""
        if self._new:
            self._note(Counter(memoryview(self._new.tobytes()).cast("H")[_UPPER::4]), self._new)
            del self._new[:]

    def _note(self, by_upper: Counter[int], new: array[float]) -> None:  # noqa: ARG002 - see Metrics
        """These are new; `by_upper` counts them by their upper two bytes."""
        self._by_upper.update(by_upper)

    def buckets(self) -> Counter[int]:
        """How many each bucket has."""
        self.sort()
        found: Counter[int] = Counter()
        for upper, number in self._by_upper.items():
            found[bucket_of_float(upper)] += number
        return found


class Kept(dict[Any, Durations]):
    """Durations by something, made when the first one comes."""

    def __init__(self, make: Callable[[Any], Durations]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> Durations:
        made = self[key] = self._make(key)
        return made


class Totals(Listener):
    """Counts changes since the start of the process, and all else since it was last taken."""

    def __init__(self) -> None:
        self._edges: Counter[tuple[str, str]] = Counter()
        self._taken: dict[tuple[str, str], int] = {}  # the same as it was
        self._begin()

    @property
    def by_edge(self) -> Counter[tuple[str, str]]:
        """How many changes there were since the start, by queue and edge."""
        return self._edges

    def _begin(self) -> None:
        self._again: Counter[str] = Counter()  # starts that are not first attempts, by queue
        self._waits = Kept(self._new_waits)  # of first attempts, by queue
        self._runs = Kept(self._new_runs)

    def _new_waits(self, key: Any) -> Durations:  # noqa: ARG002 - see Metrics
        return Durations()

    def _new_runs(self, key: Any) -> Durations:  # noqa: ARG002 - see Metrics
        return Durations()

    def _runs_by_queue(self) -> dict[str, Counter[int]]:
        return {queue: each.buckets() for queue, each in self._runs.items()}

    def started(self, claim: Claim, task: str) -> None:  # noqa: ARG002 - as all listeners have it
        """See `Listener`."""
        if claim.failures:
            self._again[claim.queue] += 1
        else:
            self._waits[claim.queue].append(claim.age * 1e6)

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        by_edge, runs = self._edges, self._runs
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
        runs = self._runs_by_queue()
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
