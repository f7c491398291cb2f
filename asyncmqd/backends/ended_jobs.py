"""What one event loop has heard of jobs that ended, until somebody takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from asyncmqd.backends.base import Waited

MOST = 10_000  # ids of a queue that are remembered while nobody takes them


class Heard:
    """Ids by queue. Of a queue of which something may have been missed, all count as heard."""

    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}
        self._whole: set[str] = set()  # queues of which none was missed since their first call
        self._event = asyncio.Event()

    def note(self, queue: str, ids: Iterable[str]) -> None:
        """These have ended."""
        heard = self._ids.setdefault(queue, set())
        heard.update(ids)
        if len(heard) > MOST:
            self.miss([queue])
        self._event.set()

    def miss(self, queues: Iterable[str] | None = None) -> None:
        """Some of these queues, or of all, may have ended without being heard."""
        for queue in list(self._whole if queues is None else queues):
            self._whole.discard(queue)
            self._ids.pop(queue, None)
        self._event.set()

    def take(self, waited: Waited) -> dict[str, set[str]]:
        """The jobs among the waited ones that are to be looked at."""
        found = {}
        for queue, ids in waited.items():
            heard = self._ids.get(queue, ())
            these = {id for id in heard if id in ids} if queue in self._whole else set(ids)
            if these:
                found[queue] = these
        self._whole |= waited.keys()
        self._ids.clear()
        return found

    def keep(self, queues: Iterable[str]) -> None:
        """These queues are heard from now on, and what ended before was looked at."""
        self._whole.update(queues)

    async def sleep(self, timeout: float) -> None:
        """Until something is noted, at most so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()

    async def wait(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        """See `BaseBackend.wait_ended`, for who misses nothing."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while not (found := self.take(waited)) and (left := end - loop.time()) > 0:
            await self.sleep(left)
        return found
