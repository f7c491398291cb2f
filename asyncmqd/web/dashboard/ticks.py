"""GET /live: tells browsers that something has changed, as server-sent events without content.

One look a second serves all streams, and costs no more than counts of jobs. The events of
/api/v1/events would name each job to each browser, which would then ask for the page all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard.visit import Source
from asyncmqd.web.server import Stream
from asyncmqd.web.sse import CONTENT_TYPE, HEADERS, HEARTBEAT, MOST_STREAMS, retry_line

LOOK_EVERY = 1.0
_SPREAD = 0.5  # seconds over which the browsers hear of a change: jobs are not to wait for all


class Ticks:
    """The streams of one daemon."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._streams = 0
        self._changed = asyncio.Event()  # a new one after each change
        self._looking: asyncio.Task[None] | None = None

    def open(self, may_go_on: Callable[[], bool]) -> Stream:
        """The answer. `may_go_on` is asked before each part. Raises CannotDo."""
        if self._streams >= MOST_STREAMS:
            raise CannotDo(f"there are {MOST_STREAMS} streams already", 503)
        return Stream(self._parts(may_go_on), CONTENT_TYPE, HEADERS)

    async def _parts(self, may_go_on: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        if self._looking is None:
            self._looking = begin(self._look())
        try:
            yield retry_line()
            while True:
                part = await self._next()
                if not may_go_on():
                    return
                yield part
        finally:
            self._streams -= 1
            if not self._streams and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _next(self) -> bytes:
        changed = self._changed
        try:
            async with asyncio.timeout(HEARTBEAT):
                await changed.wait()
        except TimeoutError:
            return b":\n\n"
        await asyncio.sleep(clock.draw() * _SPREAD)
        return b"data: 1\n\n"

    async def _look(self) -> None:
        before = None
        while True:
            try:
                now: object = await self._source.read(_state)
            except CannotDo as refusal:
                now = str(refusal)
            if before not in {None, now}:
                self._changed.set()
                self._changed = asyncio.Event()
            before = now
            await asyncio.sleep(LOOK_EVERY)


async def _state(store: BaseBackend) -> str:
    """Different if jobs have moved, or a queue was paused."""
    names = await store.queues()
    return repr(await store.counts(names))
