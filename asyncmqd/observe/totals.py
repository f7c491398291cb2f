"""`Totals`: what became of the runs of a process, how long they waited and took; always there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from asyncmqd.domain.history import COUNTS, Period, histogram
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Applied, Listener

_COUNTED = {"retry": COUNTS.index("retried"), "recover": COUNTS.index("recovered")}
_STARTED = COUNTS.index("started")
_AGAIN = -1  # the bucket of starts that are not first attempts: nobody asks how long those waited
_EXACT = 7  # microseconds, and buckets: up to this one they are the same

_Buckets = defaultdict[str, defaultdict[int, int]]  # by queue and bucket
_buckets = partial(_Buckets, partial(defaultdict, int))


class Totals(Listener):
    """Counts changes since the start of the process, and all else since it was last taken."""

    def __init__(self) -> None:
        self.by_edge: Counter[tuple[str, str]] = Counter()  # by queue and edge
        self._taken: dict[tuple[str, str], int] = {}  # the same as it was
        self._waits, self._runs = _buckets(), _buckets()

    # `history.bucket_of` is written out in both: a call would cost as much as all the rest.

    def started(self, claim: Claim, task: str) -> None:  # noqa: ARG002 - as all listeners have it
        """See `Listener`."""
        if claim.failures:
            bucket = _AGAIN
        elif (bucket := int(claim.age * 1e6)) > _EXACT:
            shift = bucket.bit_length() - 3
            bucket = (shift << 2) + (bucket >> shift)
        elif bucket < 0:  # the store's clock was set back
            bucket = 0
        self._waits[claim.queue][bucket] += 1

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        by_edge, runs = self.by_edge, self._runs
        for change, claim, _, duration in applied:
            queue = claim.queue
            by_edge[queue, change.edge] += 1
            if duration is not None:
                bucket = int(duration * 1e6)
                if bucket > _EXACT:
                    shift = bucket.bit_length() - 3
                    bucket = (shift << 2) + (bucket >> shift)
                runs[queue][bucket] += 1

    def take(self, minute: int) -> Iterator[tuple[str, Period]]:
        """What was counted since it was last taken, by queue. Nobody gets it a second time."""
        waits, self._waits = self._waits, _buckets()
        runs, self._runs = self._runs, _buckets()
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(COUNTS))
        for key, number in self.by_edge.items():
            queue, edge = key
            if edge in _COUNTED and (new := number - self._taken.get(key, 0)):
                counts[queue][_COUNTED[edge]] = new
                self._taken[key] = number
        for queue, buckets in waits.items():
            counts[queue][_STARTED] = sum(buckets.values())
            buckets.pop(_AGAIN, None)
        for queue in dict.fromkeys((*counts, *runs)):  # not a set: a seed names one world
            yield (
                queue,
                Period(minute, counts[queue], [], histogram(waits[queue]), histogram(runs[queue])),
            )
