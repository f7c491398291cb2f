"""What a store keeps of the past: see `domain.history`."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from asyncmqd.domain.history import History, Period


class HistoryStore(abc.ABC):
    """The minutes of the last two days."""

    @abc.abstractmethod
    async def note(self, periods: Mapping[str, Period], *, over: bool) -> float:
        """Add what one process has counted in a minute, by queue; the store's now.

        If the minute is over, the first who comes has the store note how full these queues are,
        and what it counts itself: see `domain.history.totals`. Of queues in which nothing happened,
        and that have no jobs, nothing is kept. It is one round trip, and a second call with the
        same periods adds them again: after a failure they are to be dropped.
        """

    @abc.abstractmethod
    async def history(self, queue: str) -> History:
        """All that is kept of a queue."""

    @abc.abstractmethod
    async def oldest(self, queues: Sequence[str]) -> dict[str, float]:
        """For how many seconds the oldest has waited of the jobs that run next in their priority.

        It counts from the enqueue, a delay included; 0 if no job waits, or only parked ones.
        """
