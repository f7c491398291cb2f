"""Which jobs have ended: heard by those who wait for results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from asyncmqd.backends.base import StoreRefused, Waited
from asyncmqd.backends.ended_jobs import Heard
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.scripts import call
from asyncmqd.backends.redis.subscribers import Ears
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.states import LIVE

# Each costs the server six commands for a page of jobs, and all queues together are to cost it less
# than one a second. What is missed, when a server forgets whom to tell, is found so late.
SWEEP = 15.0  # seconds for each page between two looks at all jobs that are waited for
LINGER = 30.0  # seconds that a process goes on to listen once it waits for nothing
_PAGE = 2_000  # ids of one call: it reads three scores of each
_LIVE = sorted(map(str, LIVE))

_message = msgspec.msgpack.Decoder(tuple[str, list[str]]).decode


class Endings(Ears):
    """Hears on its channel which jobs have ended, of the queues that it has told so."""

    look_every = SWEEP

    def __init__(
        self,
        link: Link,
        name: str,
        bases: tuple[Callable[[str], str], Callable[[bytes], str]],
        timeout: float,
    ) -> None:
        super().__init__(link, name, timeout)
        self._base_of, self._queue_of = bases  # of the keys of a queue, and back
        self._heard = Heard()
        self._told: set[str] = set()  # queues whose servers know of this channel
        self._next_sweep = 0.0  # loop time
        self._leaving: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def wait(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        """See `BaseBackend.wait_ended`. Who may not listen looks now and then."""
        if self._leaving is not None:
            self._leaving.cancel()
        try:
            return await self._wait(waited, timeout)
        except StoreRefused as error:
            self.refusal = str(error)
            await asyncio.sleep(min(timeout, Ears.look_every))
            return {queue: set(ids) for queue, ids in waited.items()}
        finally:
            self._leaving = asyncio.get_running_loop().call_later(LINGER, self._leave)

    async def _wait(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            if await self._listen():
                self._told.clear()
                self._heard.miss()
            if found := await self._look_around(waited):
                return found
            left = min(end, self._next_sweep) - loop.time()
            if end <= loop.time():
                return {}
            self._event.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._event.wait()

    async def _look_around(self, waited: Waited) -> dict[str, set[str]]:
        """What was heard, or is seen of queues that are new; now and then all are looked at."""
        now = asyncio.get_running_loop().time()
        new = [queue for queue in waited if queue not in self._told or now >= self._next_sweep]
        if new:
            pages = [
                (queue, ids[at : at + _PAGE])
                for queue, ids in ((queue, list(waited[queue])) for queue in new)
                for at in range(0, max(len(ids), 1), _PAGE)
            ]
            found = await self._see(pages)
            if now >= self._next_sweep:
                self._next_sweep = now + SWEEP * len(pages)
            if found:
                return found
        return self._heard.take(waited)

    async def _see(self, pages: Sequence[tuple[str, Sequence[str]]]) -> dict[str, set[str]]:
        """Have these queues tell this channel of ends; the jobs that have ended by now."""
        calls = [
            call("hear", [self._base_of(queue)], [self.name, len(_LIVE), *_LIVE, *ids])
            for queue, ids in pages
        ]
        found: dict[str, set[str]] = {}
        for (queue, _), ended in zip(pages, await self._link.run(*calls), strict=True):
            self._told.add(queue)
            self._heard.keep([queue])
            if ended:
                found.setdefault(queue, set()).update(id.decode() for id in ended)
        return found

    def _note(self, message: bytes | None) -> None:
        if message is not None:
            with contextlib.suppress(ValueError, RecursionError):  # of who may publish here
                base, ids = _message(message)
                self._heard.note(self._queue_of(base.encode()), ids)
        self._event.set()

    async def end(self) -> None:
        """Stop listening, and looking."""
        if self._leaving is not None:
            self._leaving.cancel()
        await super().end()

    def _leave(self) -> None:
        """Nobody has waited for long. Who tells of the next end finds nobody, and forgets us."""
        self._leaving = None
        self._closing = begin(self.end())
