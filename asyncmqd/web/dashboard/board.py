"""What the pages show of the store, asked once for all who look at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from asyncmqd.admin import history
from asyncmqd.admin.errors import NotFound
from asyncmqd.admin.history import QueueHistory
from asyncmqd.admin.overview import Looks, Overview, Wanted
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.web.dashboard import charts
from asyncmqd.web.dashboard.visit import Source

FRESH = 1.0  # seconds for which a look at the store is shown to all
HISTORY_FRESH = 60.0  # seconds: a daemon tells its numbers once a minute
_HOURS = 2  # of a sparkline
_TOGETHER = 3  # queues whose history is asked for, and read in one turn of the loop


class Board:
    """Keeps the last look."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._looks: Looks | None = None
        self.last: Overview | None = None
        self._at = float("-inf")  # the monotonic time of the last look
        self._looking = asyncio.Lock()
        self._sparks: dict[str, tuple[float, Markup]] = {}

    async def overview(self) -> Overview:
        """What there is now. Raises CannotDo."""
        async with self._looking:
            if self.last is None or clock.monotonic() - self._at > FRESH:
                self.last = await self._source.read(self._look)
                self._at = clock.monotonic()
            return self.last

    async def _look(self, store: BaseBackend) -> Overview:
        if self._looks is None:
            self._looks = Looks(store)
        return await self._looks.look(Wanted(listed=False), judge=self._at < 0)

    def forget(self) -> None:
        """Look anew when somebody asks next: he has changed something."""
        self._at = float("-inf")

    async def sparks(self, queues: Sequence[str]) -> dict[str, Markup]:
        """The last two hours of these queues, drawn once a minute. Raises CannotDo."""
        old = clock.monotonic() - HISTORY_FRESH
        wanted = [name for name in queues if self._sparks.get(name, (old,))[0] <= old]
        for start in range(0, len(wanted), _TOGETHER):
            part = wanted[start : start + _TOGETHER]
            found, now = await self._source.read(partial(_histories, queues=part))
            axis, at = charts.Axis(now - _HOURS * 3_600, now), clock.monotonic()
            for each in found:
                self._sparks[each.queue] = at, charts.spark(each.stretches, axis)
                await asyncio.sleep(0)  # jobs are not kept waiting for all of them
        return {name: self._sparks[name][1] for name in queues}


async def _histories(store: BaseBackend, queues: Sequence[str]) -> tuple[list[QueueHistory], float]:
    async def of(queue: str) -> QueueHistory:
        try:
            return await history.of_queue(store, queue, _HOURS)
        except NotFound:  # it was there a moment ago
            return QueueHistory(queue=queue, stretches=[])

    return await asyncio.gather(*map(of, queues)), await store.now()
