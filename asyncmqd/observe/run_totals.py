"""`Totals`: what became of the runs of a process, how long they waited and took; always there."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from asyncmqd.domain.history import COUNTS, Period, bucket_of, histogram, least_of
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Ended, Kind, Listener

_COUNTED = {"retry": COUNTS.index("retried"), "recover": COUNTS.index("recovered")}
_STARTED = COUNTS.index("started")
_MANY = 512  # durations of a queue that are kept one by one


class _Durations:
    """Durations in seconds, which are sorted into buckets many at a time.

    One by one, that cost more than all the rest of a count.
    """

    __slots__ = ("_new", "_sorted")

    def __init__(self) -> None:
        self._new: list[float] = []
        self._sorted: Counter[int] = Counter()  # by bucket

    def extend(self, durations: Iterable[float]) -> None:
        """Several at once. No more are kept one by one than `_MANY`."""
        self._new += durations
        if len(self._new) > _MANY:
            self._sort()

    def _sort(self) -> None:
        durations, at = self._new, 0
        durations.sort()
        while at < len(durations):
            bucket = bucket_of(max(0, int(durations[at] * 1e6)))  # less: a clock was set back
            end = bisect_left(durations, least_of(bucket + 1) / 1e6, at + 1)
            self._sorted[bucket] += end - at
            at = end
        durations.clear()

    def buckets(self) -> Counter[int]:
        """How many each bucket has."""
        self._sort()
        return self._sorted


class Totals(Listener):
    """Counts changes since the start of the process, and all else since it was last taken."""

    def __init__(self) -> None:
        self.by_edge: Counter[tuple[str, str]] = Counter()  # by queue and edge
        # Runs that are not counted yet, by queue; whoever begins them keeps the list.
        self.begun: defaultdict[str, list[Claim]] = defaultdict(list)
        self._taken: dict[tuple[str, str], int] = {}  # the same as it was
        self._begin()

    def _begin(self) -> None:
        self._again: Counter[str] = Counter()  # starts that are not first attempts, by queue
        self._waits: defaultdict[str, _Durations] = defaultdict(_Durations)  # of first attempts
        self._runs: defaultdict[str, _Durations] = defaultdict(_Durations)

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """See `Listener`."""
        for (queue, edge, _), ended in applied.items():
            self._count_begun((queue,))
            self.by_edge[queue, edge] += len(ended)
            self._runs[queue].extend(ended.durations)

    def _count_begun(self, queues: Iterable[str]) -> None:
        for queue in queues:
            if begun := self.begun[queue]:
                waits = [claim.age for claim in begun if not claim.failures]
                self._waits[queue].extend(waits)
                if again := len(begun) - len(waits):
                    self._again[queue] += again
                begun.clear()

    def take(self, minute: int) -> Iterator[tuple[str, Period]]:
        """What was counted since it was last taken, by queue. Nobody gets it a second time."""
        self._count_begun(self.begun)
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
