"""`Totals`: what became of the runs of a process, how long they waited and took; always there."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from asyncmqd.domain.history import COUNTS, Period, bucket_of, histogram, least_of
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Applied, Kind, Listener

_COUNTED = {"retry": COUNTS.index("retried"), "recover": COUNTS.index("recovered")}
_STARTED = COUNTS.index("started")
_MANY = 512  # durations of a queue that are kept one by one


class _Durations:
    """Durations in microseconds, which are sorted into buckets many at a time.

    One by one, that cost more than all the rest of a count.
    """

    __slots__ = ("_new", "_sorted", "append")

    def __init__(self) -> None:
        self._new = array("d")
        self._sorted: Counter[int] = Counter()  # by bucket
        self.append = self._new.append

    def extend(self, durations: Iterable[float]) -> None:
        """Several at once."""
        self._new.extend(durations)
        self.sort_if_many()

    def sort_if_many(self) -> None:
        """Keep no more one by one than `_MANY` and those of one batch."""
        if len(self._new) > _MANY:
            self._sort()

    def _sort(self) -> None:
        durations, at = sorted(self._new), 0
        while at < len(durations):
            bucket = bucket_of(max(0, int(durations[at])))  # less: a clock was set back
            end = bisect_left(durations, least_of(bucket + 1), at)
            self._sorted[bucket] += end - at
            at = end
        del self._new[:]

    def buckets(self) -> Counter[int]:
        """How many each bucket has."""
        self._sort()
        return self._sorted


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

    def changes(self, applied: Mapping[Kind, Sequence[Applied]]) -> None:
        """See `Listener`."""
        for (queue, edge, _), runs in applied.items():
            self.by_edge[queue, edge] += len(runs)
            self._runs[queue].extend([each[2] * 1e6 for each in runs if each[2] is not None])
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
