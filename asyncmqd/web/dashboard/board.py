"""What the pages show of the store, asked once for all who look at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from asyncmqd.admin import history
from asyncmqd.admin.errors import NotFound
from asyncmqd.admin.history import QueueHistory
from asyncmqd.admin.overview import Looks, Overview, Wanted
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.web.dashboard.visit import Source

FRESH = 1.0  # seconds for which a look at the store is shown to all
HISTORY_FRESH = 60.0  # seconds: a daemon tells its numbers once a minute
_HOURS = 2  # of a sparkline
_TOGETHER = 10  # queues whose history is asked for at the same time


class Board:
    """Keeps the last look."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._looks: Looks | None = None
        self.last: Overview | None = None
        self._at = float("-inf")  # the monotonic time of the last look
        self._looking = asyncio.Lock()
        self._histories: dict[str, tuple[float, QueueHistory]] = {}

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
        return await self._looks.look(Wanted(), judge=self._at < 0)

    def forget(self) -> None:
        """Look anew when somebody asks next: he has changed something."""
        self._at = float("-inf")

    async def histories(self, queues: Sequence[str]) -> dict[str, QueueHistory]:
        """The last two hours of these queues. Raises CannotDo."""
        known = {name: found for name, found in self._histories.items() if name in queues}
        old = clock.monotonic() - HISTORY_FRESH
        wanted = [name for name in queues if name not in known or known[name][0] < old]
        for start in range(0, len(wanted), _TOGETHER):
            part = wanted[start : start + _TOGETHER]
            found = await self._source.read(partial(_histories, queues=part))
            at = clock.monotonic()
            self._histories.update({each.queue: (at, each) for each in found})
        return {name: self._histories[name][1] for name in queues if name in self._histories}


async def _histories(store: BaseBackend, queues: Sequence[str]) -> list[QueueHistory]:
    async def of(queue: str) -> QueueHistory:
        try:
            return await history.of_queue(store, queue, _HOURS)
        except NotFound:  # it was there a moment ago
            return QueueHistory(queue=queue, stretches=[])

    return await asyncio.gather(*map(of, queues))
