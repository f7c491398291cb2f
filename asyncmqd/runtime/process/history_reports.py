"""`Minutes`: once a minute the store is told what this process has counted, for its history."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.history import Period, minute_of, minute_over
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.workers import Workers

_SLICE = 40  # queues that are told of in one turn of the loop


class Minutes:
    """Has no timer of its own: a heartbeat asks the store for its time, and this goes along.

    What was handed to a call that failed is dropped: it may have been written.
    """

    def __init__(self, backend: BaseBackend, workers: Workers, observer: Observer) -> None:
        self._backend = backend
        self._workers = workers
        self._observer = observer
        self._last: int | None = None  # the last minute of which the store was told
        self._offset: float | None = None  # the store's time minus the loop's, at the last look

    async def now(self) -> float:
        """The store's time; a minute that is over is told with it. Raises StoreError."""
        before = self._now()
        over = None if before is None else minute_over(before, self._last)
        if over is None:
            now = await self._backend.now()
        else:
            self._last = over
            now = await self._backend.note(await self._periods(over), over=True)
        if self._last is None or self._last > minute_of(now):  # the store's clock was set back
            self._last = minute_of(now) - 1
        self._offset = now - asyncio.get_running_loop().time()
        return now

    async def _periods(self, minute: int) -> dict[str, Period]:
        """Of all queues that are served, and of those that were, and of which there is news."""
        found = {queue: Period(minute) for queue in self._workers.queues}
        for number, (queue, period) in enumerate(self._observer.take(minute), 1):
            found[queue] = period
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return found

    async def tell_rest(self) -> None:
        """What was counted since the last minute. Raises StoreError."""
        now = self._now()
        minute = minute_of(await self._backend.now() if now is None else now)
        if periods := dict(self._observer.take(minute)):
            await self._backend.note(periods, over=False)

    def _now(self) -> float | None:
        """The store's time by our clock; None until it was asked."""
        return None if self._offset is None else self._offset + asyncio.get_running_loop().time()
