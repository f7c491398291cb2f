"""What the pages show of the store, asked once for all who look at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from markupsafe import Markup

from asyncmqd.admin.history import Ends, ends_of
from asyncmqd.admin.overview import Looks, Overview, Wanted
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import charts
from asyncmqd.web.dashboard.charts import Axis
from asyncmqd.web.dashboard.visit import Source

FRESH = 1.0  # seconds for which a look at the store is shown to all
HISTORY_FRESH = 60.0  # seconds: a daemon tells its numbers once a minute
PATIENCE = 0.05  # seconds that a page waits for sparklines: enough for those of fifty queues
_HOURS = 2  # of a sparkline
_TOGETHER = 8  # queues whose history is asked for in one round trip
_Past = tuple[list[Ends], float]


class Board:
    """Keeps the last look."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._looks: Looks | None = None
        self.last: Overview | None = None
        self._at = float("-inf")  # the monotonic time of the last look
        self._forgotten = 0  # how often
        self._judges = True  # the next look asks what is wrong
        self._looking = asyncio.Lock()
        self._sparks: dict[str, tuple[float, Markup]] = {}
        self._drawing: asyncio.Task[None] | None = None

    async def overview(self) -> Overview:
        """What there is now. Raises CannotDo."""
        async with self._looking:
            if self.last is None or clock.monotonic() - self._at > FRESH:
                begun = self._forgotten
                self.last = await self._source.read(self._look)
                if begun == self._forgotten:
                    self._at, self._judges = clock.monotonic(), False
            return self.last

    async def known(self) -> tuple[Overview | None, str]:
        """What there is now. Without the store: what it said last, and why there is no more."""
        try:
            return await self.overview(), ""
        except CannotDo as refusal:
            return self.last, str(refusal)

    async def _look(self, store: BaseBackend) -> Overview:
        if self._looks is None:
            self._looks = Looks(store)
        return await self._looks.look(Wanted(listed=False), judge=self._judges)

    def forget(self, *, judges: bool = False) -> None:
        """Look anew when somebody asks next: something has changed, perhaps also what is wrong.

        A look that is under way may not show it, either.
        """
        self._at = float("-inf")
        self._forgotten += 1
        self._judges = self._judges or judges

    def sparks(self, queues: Sequence[str]) -> dict[str, Markup]:
        """The last two hours of these queues, as far as they are drawn."""
        return {name: self._sparks[name][1] for name in queues if name in self._sparks}

    async def draw(self, queues: Sequence[str]) -> None:
        """Have the sparklines of these queues drawn, once a minute.

        A page does not wait long for the first ones of many queues: the next page has them.
        """
        old = clock.monotonic() - HISTORY_FRESH
        wanted = [name for name in queues if self._sparks.get(name, (old,))[0] <= old]
        if wanted and self._drawing is None:
            self._drawing = begin(self._draw(wanted))
            self._drawing.add_done_callback(self._has_drawn)
        if self._drawing is not None:
            await asyncio.wait({self._drawing}, timeout=PATIENCE)

    def _has_drawn(self, drawing: asyncio.Task[None]) -> None:
        """What could not be read is asked for with the next page; the loop logs any other error."""
        self._drawing = None
        if not drawing.cancelled() and isinstance(error := drawing.exception(), Exception):
            if isinstance(error, CannotDo):
                return
            drawing.get_loop().call_exception_handler(
                {"message": "sparklines could not be drawn", "exception": error}
            )

    async def _draw(self, wanted: Sequence[str]) -> None:
        for start in range(0, len(wanted), _TOGETHER):
            part = wanted[start : start + _TOGETHER]

            async def look(store: BaseBackend, part: Sequence[str] = part) -> list[_Past]:
                return await asyncio.gather(*(ends_of(store, name, _HOURS) for name in part))

            found, at = await self._source.read(look), clock.monotonic()
            for name, (ends, now) in zip(part, found, strict=True):
                self._sparks[name] = at, charts.spark(ends, Axis(now - _HOURS * 3_600, now))
                await asyncio.sleep(0)  # jobs are not kept waiting for all of them
